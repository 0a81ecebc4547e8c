//! Integration tests: the product from the outside.
