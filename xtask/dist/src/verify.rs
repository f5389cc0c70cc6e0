//! Verifies the artefacts: reads them back, with other code than wrote them.

use crate::artefacts::{SUMS, sha256};
use crate::compile::host;
use crate::libraries::Needs;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use tar::Archive;

/// What an unpacked image may weigh, in bytes.
const IMAGE_BOUND: u64 = 25_000_000;

/// Checks the digests of all artefacts in a folder, and every image.
pub(crate) fn folder(folder: &Path) -> Result<()> {
    let sums = fs::read_to_string(folder.join(SUMS))?;
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").with_context(|| format!("{SUMS} says `{line}`"))?;
        let content = fs::read(folder.join(name)).with_context(|| name.to_owned())?;
        ensure!(sha256(&content) == digest, "{name} is not what {SUMS} says");
        if name.ends_with(".oci.tar") {
            let image = Image::read(&content).with_context(|| name.to_owned())?;
            image.check().with_context(|| name.to_owned())?;
            if name.contains(&host()?) {
                image.start().with_context(|| name.to_owned())?;
            }
            println!("{} holds {} bytes when unpacked", image.name, image.size);
        }
    }
    Ok(())
}

/// An image whose digests have been checked.
#[derive(Debug)]
pub(crate) struct Image {
    /// What an engine will call it.
    pub(crate) name: String,
    pub(crate) configuration: ImageConfiguration,
    /// The layers, not compressed.
    pub(crate) layers: Vec<Vec<u8>>,
    /// The bytes of all layers, not compressed.
    pub(crate) size: u64,
}

impl Image {
    /// Reads an OCI archive.
    ///
    /// # Errors
    /// When a digest or a size is wrong, or something is missing.
    pub(crate) fn read(archive: &[u8]) -> Result<Self> {
        let blobs = contents(archive)?;
        let index = ImageIndex::from_reader(blobs.get("index.json").context("there is no index")?.as_slice())?;
        ensure!(blobs.contains_key("oci-layout"), "there is no oci-layout");
        let [manifest] = index.manifests().as_slice() else { bail!("there is more than one image") };
        let name = manifest.annotations().as_ref().and_then(|annotations| annotations.get(ANNOTATION_REF_NAME));
        let manifest = ImageManifest::from_reader(blob(&blobs, manifest)?)?;
        let configuration = ImageConfiguration::from_reader(blob(&blobs, manifest.config())?)?;
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            let mut tar = Vec::new();
            GzDecoder::new(blob(&blobs, layer)?).read_to_end(&mut tar)?;
            layers.push(tar);
        }
        let contents: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
        ensure!(&contents == configuration.rootfs().diff_ids(), "the layers are not those that the image is made of");
        let size = layers.iter().map(|layer| layer.len() as u64).sum();
        Ok(Self { name: name.context("the image has no name")?.clone(), configuration, layers, size })
    }

    /// Whether the image can run: as an unprivileged user, and with every library that the program needs.
    fn check(&self) -> Result<()> {
        ensure!(self.size < IMAGE_BOUND, "{} bytes are more than {IMAGE_BOUND}", self.size);
        let config = self.configuration.config().as_ref().context("there is no configuration to run it with")?;
        let user = config.user().as_deref().unwrap_or("root");
        ensure!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "it would run as {user}");
        let mut files = BTreeMap::new();
        for layer in &self.layers {
            files.extend(contents(layer)?);
        }
        let program = files.get("chatbox").context("the program is missing")?;
        let needs = Needs::of(program)?;
        let there: BTreeSet<&str> = files.keys().filter_map(|path| path.strip_prefix("lib/")).collect();
        let missing: Vec<_> = needs.libraries.iter().filter(|name| !there.contains(name.as_str())).collect();
        ensure!(missing.is_empty(), "the program needs {missing:?}");
        Ok(())
    }

    /// Starts the program with nothing but the image's own libraries.
    fn start(&self) -> Result<()> {
        let root = tempfile::tempdir()?;
        for layer in &self.layers {
            let mut layer = Archive::new(layer.as_slice());
            layer.set_preserve_mtime(false);
            layer.unpack(root.path())?;
        }
        let program = root.path().join("chatbox");
        let mut command = match Needs::of(&fs::read(&program)?)?.loader {
            Some(loader) => {
                let mut command = Command::new(root.path().join(loader.trim_start_matches('/')));
                command.args(["--inhibit-cache", "--library-path"]).arg(root.path().join("lib")).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let output = command.arg("--version").output()?;
        ensure!(output.status.success(), "it does not start: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// The files in a tar archive, by their paths.
fn contents(tar: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_str().context("a path is not UTF-8")?.to_owned();
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(path, content);
        }
    }
    Ok(files)
}

/// What a descriptor describes.
fn blob<'a>(blobs: &'a BTreeMap<String, Vec<u8>>, descriptor: &Descriptor) -> Result<&'a [u8]> {
    let digest = descriptor.as_digest_sha256().context("a digest is not SHA-256")?;
    let blob = blobs.get(&format!("blobs/sha256/{digest}")).with_context(|| format!("{digest} is missing"))?;
    ensure!(sha256(blob) == digest && blob.len() as u64 == descriptor.size(), "{digest} is something else");
    Ok(blob)
}
