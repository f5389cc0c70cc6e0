//! Running podman, and what it needs.

use super::pod::Names;
use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What is needed, where it may lie beside the path, and the Debian package that has it.
const NEEDED: [(&str, &[&str], &str); 5] = [
    ("podman", &[], "podman"),
    ("runc", &["/usr/sbin"], "runc"),
    // Podman makes the image of a pod's own process of it.
    ("catatonit", &["/usr/libexec/podman", "/usr/lib/podman"], "catatonit"),
    ("netavark", &["/usr/lib/podman", "/usr/libexec/podman"], "netavark"),
    ("iptables", &["/usr/sbin"], "iptables"),
];

/// The Debian packages that pods cannot be run without and that are not here.
pub(crate) fn missing() -> Vec<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str, beside: &[&str]| {
        env::split_paths(&path).chain(beside.iter().map(PathBuf::from)).any(|folder| folder.join(name).is_file())
    };
    let missing = NEEDED.iter().filter(|(name, beside, _)| !is_there(name, beside));
    missing.map(|(_, _, package)| *package).collect()
}

/// Podman with a configuration of its own, so that the user's is not changed and all machines run pods alike.
pub(super) struct Podman {
    configuration: PathBuf,
}

impl Podman {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let configuration = folder.join("containers.conf");
        // Podman would ask for more files and processes than a machine may have to give.
        let limit = |resource, most: u64| getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        let (files, processes) = (limit(Resource::Nofile, 1 << 20), limit(Resource::Nproc, 1 << 15));
        let text = format!(
            "[containers]\n\
             default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
             log_driver = \"k8s-file\"\n\
             [engine]\n\
             runtime = \"runc\"\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"none\"\n"
        );
        fs::write(&configuration, text)?;
        Ok(Self { configuration })
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(arguments).env("CONTAINERS_CONF", &self.configuration).kill_on_drop(true);
        command
    }

    /// Runs podman, and returns what it prints on stdout, trimmed.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output().await.context("podman cannot be started")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "podman {}: {}", arguments.join(" "), error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What podman prints, on either stream: a container's log comes on the one that it was written to.
    pub(super) async fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output().await.context("podman cannot be started")?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
    }

    pub(super) async fn images(&self) -> Result<Vec<String>> {
        let images = self.run(&["images", "--quiet", "--no-trunc"]).await?;
        Ok(images.lines().map(str::to_owned).collect())
    }

    /// The host's address in a network.
    pub(super) async fn gateway(&self, network: &str) -> Result<String> {
        self.run(&["network", "inspect", network, "--format", "{{(index .Subnets 0).Gateway}}"]).await
    }

    /// Removes whatever has this run's names, and the images that were not here before.
    pub(super) async fn remove_all(&self, names: &Names, before: &[String]) -> Result<()> {
        let ours = |text: String| -> Vec<String> {
            text.lines().filter(|name| names.is_ours(name)).map(str::to_owned).collect()
        };
        // After an interruption some may not exist: each is tried, and what is still there at the end is reported.
        let _ = self.run(&["rm", "--force", "--ignore", "--time", "0", &names.fleet()]).await;
        for (list, remove) in [
            (&["pod", "ls", "--format", "{{.Name}}"][..], &["pod", "rm", "--force"][..]),
            (&["volume", "ls", "--format", "{{.Name}}"], &["volume", "rm", "--force"]),
            (&["network", "ls", "--format", "{{.Name}}"], &["network", "rm", "--force"]),
        ] {
            for name in ours(self.run(list).await?) {
                let _ = self.run(&[remove, &[&name]].concat()).await;
            }
            let left = ours(self.run(list).await?);
            ensure!(left.is_empty(), "cannot be removed: {}", left.join(", "));
        }
        for image in self.images().await?.iter().filter(|image| !before.contains(image)) {
            let _ = self.run(&["rmi", "--force", image]).await;
        }
        Ok(())
    }
}
