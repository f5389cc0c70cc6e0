//! Images of a few bytes, read back.

use super::archive;
use crate::checkout::{Checkout, root};
use crate::libraries::{Library, System};
use crate::target::Target;
use crate::verify::Image;
use std::collections::BTreeMap;
use std::fs;

const LIBRARIES: [&str; 3] = ["libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"];

fn image(libraries: &[&str], loader: &str) -> Vec<u8> {
    let checkout = Checkout { version: "1.2.3".into(), commit: "c0ffee".into(), time: 1_700_000_000, dirty: false };
    let library = |name: &&str| ((*name).to_owned(), Library { content: name.as_bytes().to_vec(), package: None });
    let libraries: BTreeMap<_, _> = libraries.iter().map(library).collect();
    let system = System { loader: Some(loader.to_owned()), libraries };
    let target = Target::parse("x86_64-unknown-linux-gnu").unwrap();
    archive(b"program", &system, "notices", &target, &checkout).unwrap()
}

fn paths(layer: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(layer);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

#[test]
fn the_same_content_gives_the_same_bytes_whatever_the_order() {
    let mut backwards = LIBRARIES;
    backwards.reverse();
    // Often enough that a hash map would show its order.
    for _ in 0..8 {
        assert_eq!(image(&LIBRARIES, "/lib64/ld-linux-x86-64.so.2"), image(&backwards, "/lib64/ld-linux-x86-64.so.2"));
    }
}

#[test]
fn what_is_read_back_runs_unprivileged_and_keeps_its_messages_in_a_volume() {
    let image = Image::read(&image(&LIBRARIES, "/lib64/ld-linux-x86-64.so.2")).unwrap();
    assert_eq!(image.name, "chatbox:1.2.3");
    assert_eq!(image.configuration.created().as_deref(), Some("2023-11-14T22:13:20Z"));
    let config = image.configuration.config().as_ref().unwrap();
    assert_eq!(config.user().as_deref(), Some("65532:65532"));
    assert_eq!(config.working_dir().as_deref(), Some("/data"));
    assert_eq!(config.volumes().as_deref(), Some(&["/data".to_owned()][..]));
    assert_eq!(config.labels().as_ref().unwrap()["org.opencontainers.image.revision"], "c0ffee");
}

#[test]
fn libraries_and_program_lie_in_layers_of_their_own() {
    let read = Image::read(&image(&LIBRARIES, "/lib64/ld-linux-x86-64.so.2")).unwrap();
    let [system, program] = read.layers.as_slice() else { panic!("{} layers", read.layers.len()) };
    assert_eq!(
        paths(system),
        ["etc/", "etc/nsswitch.conf", "lib/", "lib/ld-linux-x86-64.so.2", "lib/libc.so.6", "lib/libm.so.6", "lib64"]
    );
    assert!(paths(program).contains(&"chatbox".to_owned()) && paths(program).contains(&"data/".to_owned()));
    let arm = Image::read(&image(&["ld-linux-aarch64.so.1"], "/lib/ld-linux-aarch64.so.1")).unwrap();
    assert_eq!(paths(&arm.layers[0]), ["etc/", "etc/nsswitch.conf", "lib/", "lib/ld-linux-aarch64.so.1"]);
}

#[test]
fn a_changed_byte_is_found() {
    let mut image = image(&LIBRARIES, "/lib64/ld-linux-x86-64.so.2");
    let program = image.windows(4).rposition(|bytes| bytes == [0x1f, 0x8b, 8, 0]).unwrap();
    image[program + 20] ^= 1;
    let error = Image::read(&image).unwrap_err().to_string();
    assert!(error.ends_with("is something else"), "{error}");
}

#[test]
fn who_builds_with_an_engine_gets_the_same_settings() {
    let read = |path| fs::read_to_string(root().join(path)).unwrap();
    let (recipe, toolchain) = (read("deploy/Containerfile"), read("rust-toolchain.toml"));
    let image = Image::read(&image(&LIBRARIES, "/lib64/ld-linux-x86-64.so.2")).unwrap();
    let config = image.configuration.config().as_ref().unwrap();
    let only = |values: &Option<Vec<String>>| values.as_ref().map(|values| values.join(" ")).unwrap();
    let compiler = toolchain.split('"').nth(1).unwrap();
    for line in [
        format!("FROM docker.io/library/rust:{compiler}-bookworm AS build"),
        format!("USER {}", config.user().as_ref().unwrap()),
        format!("WORKDIR {}", config.working_dir().as_ref().unwrap()),
        format!("VOLUME {}", only(config.volumes())),
        format!("ENV {}", only(config.env())),
        format!("EXPOSE {}", only(config.exposed_ports())),
        format!("STOPSIGNAL {}", config.stop_signal().as_ref().unwrap()),
        format!("ENTRYPOINT [\"{}\"]", only(config.entrypoint())),
    ] {
        assert!(recipe.lines().any(|written| written == line), "deploy/Containerfile lacks `{line}`");
    }
}
