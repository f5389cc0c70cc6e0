//! Manifests as typed objects, and the smoke test that deploys them.

mod cli;
mod evidence;
mod flow;
mod judge;
mod kube;
pub mod manifests;
mod podman;
mod prepare;
mod report;

pub use cli::run;
