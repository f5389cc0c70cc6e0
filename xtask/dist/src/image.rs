//! The container image: two layers on nothing, written as an OCI archive without a container engine.
//!
//! The system's libraries lie in a layer of their own, which is the same from one release to the next: a node that has it
//! fetches the program only.

use crate::archive::{Files, gzip};
use crate::artefacts::sha256;
use crate::checkout::{Checkout, root};
use crate::libraries::System;
use crate::target::Target;
use anyhow::{Context, Result};
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_REVISION,
    ANNOTATION_SOURCE, ANNOTATION_TITLE, ANNOTATION_VERSION, ConfigBuilder, Descriptor, DescriptorBuilder,
    HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder,
    Os, PlatformBuilder, RootFsBuilder, Sha256Digest,
};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;

/// The user that the program runs as: an id that neither the image nor a node has a name for.
pub(crate) const USER: u64 = 65532;

/// What containerd calls an image, in the index of an archive.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The name resolution that glibc falls back to asks no file when DNS has answered; /etc/hosts is expected to win.
const NSSWITCH: &[u8] = b"hosts: files dns\n";

/// The whole archive.
pub(crate) fn archive(
    program: &[u8],
    system: &System,
    notices: &str,
    target: &Target,
    checkout: &Checkout,
) -> Result<Vec<u8>> {
    let mut image = Image::default();
    image.add_layer("the libraries that the program needs", &of_system(system)?, checkout)?;
    image.add_layer("the program", &of_program(program, notices)?, checkout)?;
    image.finish(target, checkout)
}

/// The layer of the libraries, the same as long as the system that builds is.
fn of_system(system: &System) -> Result<Files> {
    let mut files = Files::default();
    files.file("etc/nsswitch.conf", NSSWITCH);
    for (name, library) in &system.libraries {
        // The loader looks into /lib, whichever distribution it is from.
        files.program(&format!("lib/{name}"), &library.content);
    }
    if let Some(loader) = &system.loader {
        let (folder, _) = loader.trim_start_matches('/').rsplit_once('/').context("the loader has a path")?;
        if folder != "lib" {
            files.link(folder, "lib");
        }
    }
    for package in system.packages() {
        if let Some(copyright) = &package.copyright {
            files.file(&format!("usr/share/doc/{}/copyright", package.name), copyright);
        }
    }
    Ok(files)
}

/// The layer of the program.
fn of_program(program: &[u8], notices: &str) -> Result<Files> {
    let mut files = Files::default();
    files.program("chatbox", program);
    // Where the messages are, unless a MongoDB is configured: a volume, or the root file system could not be read-only.
    files.folder("data", USER);
    let documentation = "usr/share/doc/chatbox";
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files.file(&format!("{documentation}/{licence}"), &fs::read(root().join(licence))?);
    }
    files.file(&format!("{documentation}/THIRD-PARTY-LICENSES.txt"), notices.as_bytes());
    Ok(files)
}

/// An image as it grows.
#[derive(Default)]
struct Image {
    blobs: Files,
    layers: Vec<Descriptor>,
    /// The digests of the layers before they were compressed.
    contents: Vec<String>,
    about: Vec<&'static str>,
}

impl Image {
    fn add_layer(&mut self, about: &'static str, files: &Files, checkout: &Checkout) -> Result<()> {
        let tar = files.tar(checkout.time)?;
        self.contents.push(format!("sha256:{}", sha256(&tar)));
        let layer = self.add_blob(MediaType::ImageLayerGzip, &gzip(&tar)?)?;
        self.layers.push(layer);
        self.about.push(about);
        Ok(())
    }

    fn add_blob(&mut self, kind: MediaType, content: &[u8]) -> Result<Descriptor> {
        let digest = sha256(content);
        self.blobs.file(&format!("blobs/sha256/{digest}"), content);
        Ok(Descriptor::new(kind, content.len().try_into()?, digest.parse::<Sha256Digest>()?))
    }

    fn finish(mut self, target: &Target, checkout: &Checkout) -> Result<Vec<u8>> {
        let created = checkout.timestamp()?;
        let labels = labels(checkout)?;
        let history = self.about.iter().map(|about| {
            HistoryBuilder::default().created(created.clone()).created_by(*about).comment("cargo xtask dist").build()
        });
        let configuration = ImageConfigurationBuilder::default()
            .created(created.clone())
            .architecture(target.architecture.clone())
            .os(Os::Linux)
            .config(
                ConfigBuilder::default()
                    .user(format!("{USER}:{USER}"))
                    .exposed_ports(["8080/tcp".to_owned()])
                    .env(["CHATBOX_LISTEN=0.0.0.0:8080".to_owned()])
                    .entrypoint(["/chatbox".to_owned()])
                    .working_dir("/data")
                    .volumes(["/data".to_owned()])
                    .stop_signal("SIGTERM")
                    .labels(labels.clone())
                    .build()?,
            )
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(self.contents.clone()).build()?)
            .history(history.collect::<Result<Vec<_>, _>>()?)
            .build()?;
        let configuration = self.add_blob(MediaType::ImageConfig, &json(&configuration)?)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(configuration)
            .layers(self.layers.clone())
            .annotations(labels)
            .build()?;
        let manifest = self.add_blob(MediaType::ImageManifest, &json(&manifest)?)?;

        let name = format!("chatbox:{}", checkout.version);
        let platform = PlatformBuilder::default().architecture(target.architecture.clone()).os(Os::Linux).build()?;
        let manifest = DescriptorBuilder::default()
            .media_type(MediaType::ImageManifest)
            .size(manifest.size())
            .digest(manifest.digest().clone())
            .platform(platform)
            .annotations(HashMap::from([
                (CONTAINERD_NAME.to_owned(), format!("docker.io/library/{name}")),
                (ANNOTATION_REF_NAME.to_owned(), name),
            ]))
            .build()?;
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests([manifest])
            .build()?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        self.blobs.file("index.json", &json(&index)?);
        self.blobs.file("oci-layout", &json(&layout)?);
        self.blobs.tar(checkout.time)
    }
}

/// What the image says about itself.
fn labels(checkout: &Checkout) -> Result<HashMap<String, String>> {
    let labels = [
        (ANNOTATION_TITLE, "chatbox".to_owned()),
        (ANNOTATION_DESCRIPTION, "A WebSocket chat service whose deploys nobody notices".to_owned()),
        (ANNOTATION_SOURCE, env!("CARGO_PKG_REPOSITORY").to_owned()),
        (ANNOTATION_LICENSES, env!("CARGO_PKG_LICENSE").to_owned()),
        (ANNOTATION_VERSION, checkout.version.clone()),
        (ANNOTATION_REVISION, checkout.revision()),
        (ANNOTATION_CREATED, checkout.timestamp()?),
    ];
    Ok(labels.map(|(key, value)| (key.to_owned(), value)).into())
}

/// Compact JSON with sorted keys. The types of the specification keep some of theirs in hash maps.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut value: Value = serde_json::to_value(value)?;
    // Nothing to do, unless a feature of serde_json asks it to keep the order of insertion.
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

#[cfg(test)]
mod tests;
