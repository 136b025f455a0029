//! The text and the handling, from wherever they are given.

use std::io::Read;
use std::path::Path;

use valise_protocol::limits::TEXT;
use valise_protocol::message::Handling;
use zeroize::Zeroizing;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::handling;
use crate::home;
use crate::ui::{Terminal, stdin_is_terminal};

use super::Case;

/// The handling and the text; refused here, before anything travels.
///
/// # Errors
/// A failure that says what is wrong with which of them.
pub fn read(given: &Case) -> Outcome<(Handling, Zeroizing<String>)> {
    let form = given.form.as_deref().map(handling::read_form).transpose()?;
    let (handling, in_form) = form.map_or((None, None), |(handling, text)| (Some(handling), text));
    let text = match (in_form, &given.file) {
        (Some(_), Some(_)) => {
            return Err(
                Failure::new("the text is given twice: in the form, and as a file")
                    .hint("empty the form's text, or leave the file out"),
            );
        }
        (Some(text), None) => text,
        (None, Some(file)) => read_text(file)?,
        (None, None) if stdin_is_terminal() => Terminal::open()?.ask_text("Write the case.")?,
        (None, None) => from_stdin()?,
    };
    check_text(&text)?;
    let handling = match handling {
        Some(handling) => handling,
        None => handling::ask(&mut Terminal::open().map_err(|failure| {
            failure.hint("fill in a form and give it with --form: valise form > case.toml")
        })?)?,
    };
    Ok((handling, text))
}

fn read_text(file: &Path) -> Outcome<Zeroizing<String>> {
    let shown = escape::line(&file.display().to_string());
    let broken = |error| home::disk(&format!("could not read {shown}"), &error);
    let length = std::fs::metadata(file).map_err(broken)?.len();
    if length > TEXT as u64 {
        return Err(too_long(length));
    }
    let bytes = std::fs::read(file).map_err(broken)?;
    utf8(bytes)
}

fn from_stdin() -> Outcome<Zeroizing<String>> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(TEXT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| home::disk("could not read standard input", &error))?;
    utf8(bytes)
}

fn utf8(bytes: Vec<u8>) -> Outcome<Zeroizing<String>> {
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| {
        Failure::new("the text is not UTF-8")
            .hint("save it as plain text in UTF-8; other files are sent with --attach FILE")
    })
}

fn check_text(text: &str) -> Outcome<()> {
    if text.trim().is_empty() {
        return Err(
            Failure::new("there is no text to send").hint("valise send --to CONTACT < case.txt")
        );
    }
    if text.len() > TEXT {
        return Err(too_long(text.len() as u64));
    }
    Ok(())
}

fn too_long(length: u64) -> Failure {
    let more = if length > TEXT as u64 + 1 {
        format!("{length} bytes")
    } else {
        format!("more than {TEXT} bytes")
    };
    Failure::new(format!(
        "the text has {more}; a submission holds {TEXT} bytes of UTF-8"
    ))
    .hint("shorten it, or send it in parts: the second with --again and the same words")
}
