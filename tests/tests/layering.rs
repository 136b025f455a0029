//! Who may know whom: between crates, and between the modules of each.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 3] = ["protocol", "relay", "client"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The Rust files below a path, or the path itself if it is one.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// A file's code: without comments, and up to its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The modules of a crate in the order of its `lib.rs`.
fn modules(krate: &str) -> Vec<String> {
    let library = fs::read_to_string(root().join(krate).join("src/lib.rs")).unwrap();
    let names = library.lines().filter_map(|line| {
        let line = line.trim();
        let name = line
            .strip_prefix("pub mod ")
            .or_else(|| line.strip_prefix("mod "))?;
        Some(name.strip_suffix(';')?.to_owned())
    });
    names.filter(|name| name != "testing").collect()
}

/// The modules of its own crate that a text names: `crate::name`, also in `use crate::{a, b}`.
fn named(text: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split("};").next().unwrap();
            let mut depth = 0;
            let mut begins = true;
            for (place, character) in group.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => begins = true,
                    c if begins && c.is_alphabetic() => {
                        found.push(word(&group[place..]));
                        begins = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.push(word(rest));
        }
    }
    found
}

#[test]
fn a_module_uses_only_those_listed_above_it() {
    for krate in CRATES {
        let modules = modules(krate);
        assert!(modules.len() > 5, "{krate} lists its modules");
        for (place, module) in modules.iter().enumerate() {
            let source = root().join(krate).join("src");
            let mut files = sources(&source.join(module));
            files.extend(
                sources(&source.join(format!("{module}.rs")))
                    .into_iter()
                    .filter(|path| path.exists()),
            );
            assert!(!files.is_empty(), "{krate}::{module} has a file");
            for file in files {
                for used in named(&code(&file)) {
                    let above = modules.iter().position(|name| *name == used);
                    assert!(
                        above.is_none_or(|above| above <= place),
                        "{} uses {krate}::{used}, which stands below {module} in lib.rs",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn the_test_above_reads_names_as_they_are_written() {
    assert_eq!(
        named("use crate::a::B;\nuse crate::{b, c::{D, E}, f};\n crate::g()"),
        ["a", "b", "c", "f", "g"]
    );
}

/// The names of a crate's ordinary dependencies.
fn dependencies(krate: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
    let section = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    section
        .lines()
        .filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned()))
        .filter(|n| !n.is_empty())
        .collect()
}

#[test]
fn client_and_relay_know_the_protocol_and_not_each_other() {
    for krate in CRATES {
        let ours: Vec<_> = dependencies(krate)
            .into_iter()
            .filter(|name| name.starts_with("valise-"))
            .collect();
        let expected: &[&str] = if krate == "protocol" {
            &[]
        } else {
            &["valise-protocol"]
        };
        assert_eq!(ours, expected, "{krate}");
    }
}

#[test]
fn cryptography_is_named_in_the_protocol_only() {
    const CRYPTOGRAPHY: [&str; 14] = [
        "snow",
        "aws-lc-rs",
        "x25519-dalek",
        "ed25519-dalek",
        "curve25519-dalek",
        "libcrux-ml-kem",
        "chacha20poly1305",
        "sha2",
        "hkdf",
        "hmac",
        "argon2",
        "bip39",
        "subtle",
        "bech32",
    ];
    for krate in ["relay", "client"] {
        for name in dependencies(krate) {
            assert!(
                !CRYPTOGRAPHY.contains(&name.as_str()),
                "{krate} names {name}"
            );
        }
    }
}

#[test]
fn the_protocol_has_no_socket_file_clock_task_or_log() {
    const FORBIDDEN: [&str; 9] = [
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "SystemTime::now",
        "Instant",
        "std::thread",
        "tokio",
        "tracing",
        "println!",
    ];
    for file in sources(&root().join("protocol/src")) {
        let code = code(&file);
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn the_top_level_holds_what_it_should_and_nothing_else() {
    const EXPECTED: [&str; 9] = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "client",
        "docs",
        "protocol",
        "relay",
        "tests",
    ];
    let names = fs::read_dir(root())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    names.sort();
    assert_eq!(names, EXPECTED);
}
