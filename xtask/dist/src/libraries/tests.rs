//! The needs of this very test, which is an ELF file of 64 bits.

use super::{Needs, Toolchain, needed_by};
use crate::compile::host;
use crate::target::Target;
use std::fs;

fn this_program() -> Vec<u8> {
    fs::read(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn the_loader_and_the_libraries_are_read_from_the_file() {
    let needs = Needs::of(&this_program()).unwrap();
    assert!(needs.libraries.contains(&"libc.so.6".to_owned()), "{needs:?}");
    assert!(needs.loader.unwrap().contains("/ld-linux"));
}

#[test]
fn what_libraries_need_is_found_too() {
    let system = needed_by(&this_program(), &Toolchain::of(&Target::parse(&host().unwrap()).unwrap())).unwrap();
    let names: Vec<_> = system.libraries.keys().collect();
    assert!(system.libraries.keys().any(|name| name.starts_with("ld-linux")), "{names:?}");
    for library in system.libraries.values() {
        for name in Needs::of(&library.content).unwrap().libraries {
            assert!(system.libraries.contains_key(&name), "{name} is not in {names:?}");
        }
    }
}

#[test]
fn what_is_no_elf_file_is_refused() {
    assert!(Needs::of(b"#!/bin/sh\n").is_err());
}
