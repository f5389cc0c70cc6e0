//! The program behind `cargo xtask k8s-smoke`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    chatbox_smoke::run().await
}
