//! Manifests as typed objects, and the smoke test that deploys them.

mod assertions;
mod cli;
mod flow;
mod kube;
pub mod manifests;
mod observations;
mod podman;
mod prepare;
mod report;
mod scenario;

pub use cli::run;
