//! songkhao: the command line.
fn main() {}
