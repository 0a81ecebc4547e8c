//! songkhao: the program; all it does is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    songkhao::cli::main().await
}
