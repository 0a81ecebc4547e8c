//! Command line: what a person types, and what it prints.
