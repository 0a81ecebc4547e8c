//! Tidy: house rules that the compiler does not know.
