//! How the image gets to the nodes.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use tokio::process::Command;

/// Where the image comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Image {
    /// A registry that the nodes pull from.
    Pulled,
    /// An archive that a command makes known to the nodes.
    Loaded(Vec<String>),
}

impl Image {
    /// For the cluster of a context: kind and minikube have a command for it, others need one in which `{archive}` stands for the file.
    ///
    /// # Errors
    /// For another cluster, without a command.
    pub(crate) fn archive(archive: &Path, context: &str, command: Option<&str>) -> Result<Self> {
        let file = archive.to_string_lossy().into_owned();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        if let Some(command) = command {
            return Ok(Self::Loaded(words(&["sh", "-c", &command.replace("{archive}", &file)])));
        }
        if let Some(cluster) = context.strip_prefix("kind-") {
            return Ok(Self::Loaded(words(&["kind", "load", "image-archive", &file, "--name", cluster])));
        }
        ensure!(
            context == "minikube",
            "how does the image get to the nodes of `{context}`? --image REF if they pull it, --load-cmd 'COMMAND {{archive}}' if not"
        );
        Ok(Self::Loaded(words(&["minikube", "image", "load", &file])))
    }

    pub(super) async fn load(&self) -> Result<()> {
        if let Self::Loaded(words) = self {
            let status = Command::new(&words[0]).args(&words[1..]).kill_on_drop(true).status().await;
            let status = status.with_context(|| format!("{} cannot be started", words[0]))?;
            ensure!(status.success(), "{} ended with {status}", words.join(" "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Image;
    use std::path::Path;

    #[test]
    fn kind_minikube_and_a_command_load_the_archive() {
        let load = |context: &str, command: Option<&str>| match Image::archive(Path::new("i.tar"), context, command) {
            Ok(Image::Loaded(words)) => words.join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(load("kind-a-b", None), "kind load image-archive i.tar --name a-b");
        assert_eq!(load("minikube", None), "minikube image load i.tar");
        assert_eq!(load("x", Some("ctr images import {archive}")), "sh -c ctr images import i.tar");
        assert!(load("prod", None).contains("how does the image get to the nodes of `prod`?"));
    }
}
