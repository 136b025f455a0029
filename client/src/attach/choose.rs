//! Which files are sent, and what becomes of what they say of their making.

use std::path::PathBuf;

use clap::ValueEnum;
use valise_protocol::limits::ATTACHMENTS;
use valise_protocol::message::Metadata;

use crate::failure::{Failure, Outcome};
use crate::metadata::{look, strip};
use crate::ui::{Terminal, note};

use super::source::Source;

/// What is done with what a file says of where, when and by what it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// Send the file exactly as it is
    Keep,
    /// Take it out of pictures; refuse files of which it cannot be taken out
    Strip,
}

/// Looks into each file, and decides. `choices` are one for each file, one for all, or none: then what was found is shown and asked about.
///
/// # Errors
/// A failure about the first file that cannot be sent so, before anything travels.
pub fn choose(paths: &[PathBuf], choices: &[Choice], keep_name: bool) -> Outcome<Vec<Source>> {
    if paths.len() > ATTACHMENTS {
        return Err(Failure::new(format!(
            "{} files are attached, a submission has at most {ATTACHMENTS}",
            paths.len()
        ))
        .hint("pack them into one: tar -cf FILES.tar FILE …"));
    }
    if choices.len() > 1 && choices.len() != paths.len() {
        return Err(Failure::new(format!(
            "--metadata is given {} times for {} files",
            choices.len(),
            paths.len()
        ))
        .hint("give it once for all, or once for each, in the order of --attach"));
    }
    let mut sources = Vec::with_capacity(paths.len());
    for (at, path) in paths.iter().enumerate() {
        let mut source = Source::new(path);
        let choice = choices.get(at).or(choices.first()).copied();
        decide(&mut source, choice)?;
        if keep_name {
            source.keep_name()?;
        }
        sources.push(source);
    }
    Ok(sources)
}

fn decide(source: &mut Source, choice: Option<Choice>) -> Outcome<()> {
    let bytes = source.beginning()?;
    let seen = look(&bytes);
    source.kind = seen.kind;
    source.metadata = seen.as_sent();
    let told = seen.sentence(&source.file_name());
    if source.metadata == Metadata::NoneFound {
        note(&format!("{told}."));
        return Ok(());
    }
    let choice = match choice {
        Some(choice) => choice,
        None if seen.kind.can_be_stripped() => ask(&told)?,
        None => Choice::Keep,
    };
    if choice == Choice::Strip {
        strip(seen.kind, &bytes).map_err(|cannot| cannot.failure(&source.shown()))?;
        source.metadata = Metadata::Stripped;
        note(&format!("{told}. It is taken out of what is sent."));
    } else if seen.kind.can_be_stripped() {
        note(&format!("{told}. It is sent as it is."));
    } else {
        note(&format!(
            "{told}. What a file of this kind says of its making cannot be taken out here; it is sent as it is. \
             mat2 cleans a copy of many kinds."
        ));
    }
    Ok(())
}

/// What the person wants done with what was found.
fn ask(told: &str) -> Outcome<Choice> {
    note(&format!("{told}."));
    let mut terminal = Terminal::open().map_err(|failure| {
        failure.hint("say what is to become of it: --metadata keep, or --metadata strip")
    })?;
    let question = "Keep that (an original is evidence), or strip it from what is sent?";
    let at = terminal.choose(question, &["keep", "strip"])?;
    Ok([Choice::Keep, Choice::Strip][at])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn choices_are_none_one_or_one_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..3).map(|n| dir.path().join(n.to_string())).collect();
        paths
            .iter()
            .for_each(|path| fs::write(path, "text").unwrap());
        for (choices, fits) in [(0, true), (1, true), (2, false), (3, true), (4, false)] {
            let chosen = choose(&paths, &vec![Choice::Keep; choices], false);
            assert_eq!(chosen.is_ok(), fits, "{choices}");
        }
        let names = choose(&paths, &[Choice::Keep], true).unwrap();
        let names: Vec<_> = names.into_iter().filter_map(|source| source.name).collect();
        assert_eq!(names, ["0", "1", "2"]);
    }

    #[test]
    fn a_file_that_cannot_be_cleaned_is_refused_and_not_sent_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pdf");
        fs::write(&path, "%PDF-1.7\n").unwrap();
        let refused = choose(std::slice::from_ref(&path), &[Choice::Strip], false);
        let refused = refused.err().unwrap();
        assert!(refused.to_string().contains("mat2"), "{refused}");
        assert!(choose(&[path], &[Choice::Keep], false).is_ok());
    }

    #[test]
    fn too_many_files_are_refused() {
        let paths = vec![PathBuf::from("x"); ATTACHMENTS + 1];
        let refused = choose(&paths, &[Choice::Keep], false).err().unwrap();
        assert!(refused.what().contains("at most 10000"), "{refused}");
    }
}
