//! The bill of materials: what the program and the image are made of, as CycloneDX 1.6.

use crate::artefacts::sha256;
use crate::checkout::{Checkout, cargo, metadata, output, root};
use crate::libraries::System;
use crate::target::Target;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that end up in the program.
pub(crate) struct Crates {
    program: Crate,
    /// All but the program's own, sorted.
    pub(crate) others: Vec<Crate>,
}

/// One of them.
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    /// SHA-256 of the published package. `None` for our own.
    pub(crate) checksum: Option<String>,
    /// Where its sources are.
    pub(crate) folder: PathBuf,
    /// Package URLs.
    depends_on: BTreeSet<String>,
}

/// Asks cargo which crates are linked into the program on a target.
pub(crate) fn crates(target: &Target) -> Result<Crates> {
    let tree =
        output(cargo().args(["tree", "--locked", "--package", "chatbox-bin", "--target", target.as_str()]).args([
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ]))?;
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock"))?.parse()?;
    let checksums = checksums(&lock);
    let metadata = metadata(&[])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;

    let mut others = Vec::new();
    for ((name, version), depends_on) in edges(&tree)? {
        let package = packages.iter().find(|package| package["name"] == *name && package["version"] == *version);
        let package = package.with_context(|| format!("cargo metadata does not know {name} {version}"))?;
        let text = |key: &str| package[key].as_str().map(|text| text.trim().to_owned());
        let manifest = text("manifest_path").context("a package has a manifest")?;
        others.push(Crate {
            checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
            // The slash is what older crates write for OR.
            licence: text("license").map(|licence| licence.replace('/', " OR ")),
            description: text("description"),
            repository: text("repository"),
            folder: Path::new(&manifest).parent().context("a manifest lies in a folder")?.to_owned(),
            depends_on: depends_on.iter().map(|(name, version)| crate_url(name, version)).collect(),
            name,
            version,
        });
    }
    let program = others.iter().position(|package| package.name == "chatbox-bin").context("cargo tree has no root")?;
    Ok(Crates { program: others.remove(program), others })
}

type NameAndVersion = (String, String);

/// The dependencies in the output of `cargo tree --prefix depth`, which shows what lies below a crate once.
fn edges(tree: &str) -> Result<BTreeMap<NameAndVersion, BTreeSet<NameAndVersion>>> {
    let mut edges: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut path: Vec<NameAndVersion> = Vec::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().with_context(|| format!("cargo tree says `{line}`"));
        let depth: usize = word()?.parse()?;
        let package = (word()?.to_owned(), word()?.trim_start_matches('v').to_owned());
        path.truncate(depth);
        if let Some(parent) = path.last() {
            edges.entry(parent.clone()).or_default().insert(package.clone());
        }
        edges.entry(package.clone()).or_default();
        path.push(package);
    }
    Ok(edges)
}

/// What Cargo.lock knows of the packages from a registry.
fn checksums(lock: &toml::Table) -> BTreeMap<NameAndVersion, String> {
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let checksum = |package: &toml::Value| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some(((text("name")?, text("version")?), text("checksum")?))
    };
    packages.filter_map(checksum).collect()
}

/// The document. Its serial number is a digest of the rest, so that it names this content and no other.
pub(crate) fn render(crates: &Crates, system: &System, target: &Target, checkout: &Checkout) -> Result<String> {
    let mut program = component("application", &crates.program);
    program["name"] = json!("chatbox");
    program["externalReferences"] = json!([{
        "type": "vcs",
        "url": crates.program.repository,
        "comment": format!("commit {}", checkout.revision()),
    }]);
    let mut components: Vec<Value> = crates.others.iter().map(|package| component("library", package)).collect();
    components.extend(of_system(system));
    let dependencies: Vec<Value> = std::iter::once(&crates.program)
        .chain(&crates.others)
        .map(|package| json!({"ref": package.url(), "dependsOn": package.depends_on}))
        .collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": checkout.timestamp()?,
            "component": program,
            "properties": [{"name": "chatbox:target", "value": target.as_str()}],
        },
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = json!(serial_number(&document.to_string()));
    Ok(format!("{document:#}\n"))
}

impl Crate {
    fn url(&self) -> String {
        crate_url(&self.name, &self.version)
    }
}

fn crate_url(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(kind: &str, package: &Crate) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": package.url(),
        "name": package.name,
        "version": package.version,
        "purl": package.url(),
        "scope": "required",
    });
    if let Some(description) = &package.description {
        component["description"] = json!(description);
    }
    if let Some(licence) = &package.licence {
        component["licenses"] = json!([{"expression": licence}]);
    }
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The system's libraries in the image: their packages, and every file.
fn of_system(system: &System) -> Vec<Value> {
    let packages = system.packages().into_iter().map(|package| {
        let version = package.version.replace('+', "%2B").replace(':', "%3A");
        let url = format!("pkg:deb/debian/{}@{version}?arch={}", package.name, package.architecture);
        json!({"type": "library", "bom-ref": url, "name": package.name, "version": package.version, "purl": url})
    });
    let files = system.libraries.iter().map(|(name, library)| {
        let path = format!("/lib/{name}");
        json!({
            "type": "file",
            "bom-ref": format!("file:{path}"),
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": sha256(&library.content)}],
        })
    });
    packages.chain(files).collect()
}

/// A UUID of version 8, which leaves its content to us.
fn serial_number(content: &str) -> String {
    let hex = sha256(content.as_bytes());
    format!("urn:uuid:{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests;
