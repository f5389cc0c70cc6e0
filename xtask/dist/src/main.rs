//! Makes the release artefacts of chatbox, the same bytes wherever it runs.
#![doc = include_str!("../README.md")]

mod archive;
mod artefacts;
mod checkout;
mod compile;
mod image;
mod libraries;
mod notices;
mod packages;
mod progress;
mod reproduce;
mod sbom;
mod target;
mod verify;

use anyhow::{Result, ensure};
use artefacts::Artefacts;
use checkout::{Checkout, root};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

/// Make the release artefacts
#[derive(Parser)]
#[command(name = "cargo xtask dist", bin_name = "cargo xtask dist")]
struct Options {
    /// Build for this target; may be given more than once [default: this machine's]
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
    /// Where the artefacts go, replacing those of an earlier run; relative to the checkout
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    out: PathBuf,
    /// Make them although there are uncommitted changes; the image and the bill of materials say so
    #[arg(long)]
    allow_dirty: bool,
    /// Do not check that every crate can be published
    #[arg(long)]
    quick: bool,
    /// Then make them once more from a clone in another folder, and compare
    #[arg(long, conflicts_with = "allow_dirty")]
    check_reproducible: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dist: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let checkout = Checkout::read()?;
    ensure!(!checkout.dirty || options.allow_dirty, "there are uncommitted changes: commit them, or say --allow-dirty");
    let mut targets: Vec<Target> = options.targets.iter().map(|triple| Target::parse(triple)).collect::<Result<_>>()?;
    if targets.is_empty() {
        targets.push(Target::parse(&compile::host()?)?);
    }

    let out = root().join(&options.out);
    let mut artefacts = Artefacts::replace(&out)?;
    for target in &targets {
        make(target, &checkout, &mut artefacts)?;
    }
    artefacts.finish()?;
    verify::folder(&out)?;
    if !options.quick {
        packages::check(options.allow_dirty)?;
    }
    if options.check_reproducible {
        reproduce::check(&checkout, &targets, &out)?;
    }
    Ok(())
}

/// Makes all that is made for one target.
fn make(target: &Target, checkout: &Checkout, artefacts: &mut Artefacts) -> Result<()> {
    let name = format!("chatbox-{}-{target}", checkout.version);
    let program = compile::program(target, &format!("{name}.debug"))?;
    let system = libraries::needed_by(&program.binary, &libraries::Toolchain::of(target))?;
    let crates = sbom::crates(target)?;
    let notices = notices::of(&crates)?;

    artefacts.add(&format!("{name}.debug"), &program.debug_info)?;
    artefacts.add(&format!("{name}.cdx.json"), sbom::render(&crates, &system, target, checkout)?.as_bytes())?;
    let files = archive::release(&name, &program.binary, &notices)?;
    progress::during(&format!("packing {name}"), || {
        artefacts.add(&format!("{name}.tar.gz"), &archive::gzip(&files.tar(checkout.time)?)?)?;
        let image = image::archive(&program.binary, &system, &notices, target, checkout)?;
        artefacts.add(&format!("{name}.oci.tar"), &image)
    })
}
