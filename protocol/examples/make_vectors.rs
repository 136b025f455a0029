//! Writes test vectors made by this crate into a folder: `cargo run -p valise-protocol --example make_vectors FOLDER`.
//! tests/vectors/check.sh lets another program read them.

#[path = "../tests/vectors.rs"]
#[allow(dead_code)] // what runs them
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("which folder? make_vectors FOLDER");
        return ExitCode::FAILURE;
    };
    match write(&folder) {
        Ok(count) => {
            println!("{count} written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &PathBuf) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let made = vectors::made::all();
    for (name, text) in &made {
        fs::write(folder.join(name), text)?;
    }
    Ok(made.len())
}
