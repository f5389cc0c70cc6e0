//! Measures chatbox from outside, beside peers that it starts itself.
#![doc = include_str!("../README.md")]

#[cfg(target_os = "linux")]
mod suite;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    suite::main()
}

/// Processor time and memory are read from `/proc`, and the client and one peer are built on epoll.
#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("chatbox-bench runs on Linux only");
    std::process::ExitCode::FAILURE
}
