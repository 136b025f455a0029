//! The handling that no mechanism works without: who agreed to what, and how urgent it is (spec §4.5).
//!
//! Asked on the terminal, or read from a small form. Nothing is assumed: what decides over other people's names has no default.

use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use valise_protocol::card::is_language;
use valise_protocol::limits::NOTE;
use valise_protocol::message::{
    Answer, Attribution, ConsentBasis, Handling, HandlingError, Timing,
};

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui::Terminal;

/// The first sentence of the United Nations' special procedures on consent.
pub const NAME_TO_GOVERNMENT: &str = "Do the alleged victims or their representatives agree that their names are disclosed in a letter to the Government?";
/// The second.
pub const NAME_IN_PUBLIC: &str = "Do the alleged victims or their representatives agree that their names appear in public reports and the public database?";

/// The words of the answers, in the order of their numbers.
const ANSWERS: [(&str, Answer); 3] = [
    ("no", Answer::No),
    ("yes", Answer::Yes),
    ("ask", Answer::Ask),
];
const BASES: [(&str, ConsentBasis); 4] = [
    ("self", ConsentBasis::Oneself),
    ("representative", ConsentBasis::Representative),
    ("family", ConsentBasis::Family),
    ("unobtainable", ConsentBasis::Unobtainable),
];
const TIMINGS: [(&str, Timing); 5] = [
    ("imminent", Timing::Imminent),
    ("ongoing", Timing::Ongoing),
    ("past", Timing::Past),
    ("pattern", Timing::Pattern),
    ("law", Timing::Law),
];
const ATTRIBUTIONS: [(&str, Attribution); 3] = [
    ("none", Attribution::None),
    ("organisation", Attribution::Organisation),
    ("named", Attribution::Named),
];

/// The form, empty, as `valise form` prints it.
pub const FORM: &str = r#"# A case for `valise send --form case.toml`. Lines that begin with # explain.
# Fill in what stands between the quotation marks. This file is not encrypted:
# keep it where you keep the case itself, and delete it afterwards.

# The case: what happened, to whom, where, when, by whom, what was done since.
# Leave it empty to give the text as a file or on standard input instead.
text = """
"""

# "Do the alleged victims or their representatives agree that their names are
#  disclosed in a letter to the Government?"   yes, no, or ask (ask me first)
name_to_government = ""

# "Do the alleged victims or their representatives agree that their names appear
#  in public reports and the public database?"   yes, no, or ask
# yes only if the answer above is yes. What was published cannot be taken back.
name_in_public = ""

# Who agreed: self, representative, family, or unobtainable (the note says why).
consent_basis = ""

# Conditions, or why consent could not be obtained. May stay empty otherwise.
consent_note = ""

# imminent, ongoing, past, pattern (a practice), or law (a bill, law or policy).
timing = ""

# How you, the source, may be named to others: none (Chatham House Rule),
# organisation, or named.
attribution = "none"

# The language of the text, such as en, fr, es, ar, ru, uz-Cyrl.
language = ""
"#;

/// A filled-in form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    text: String,
    name_to_government: String,
    name_in_public: String,
    consent_basis: String,
    #[serde(default)]
    consent_note: String,
    timing: String,
    attribution: String,
    language: String,
}

/// Reads a form: the handling, and the text if it holds one.
///
/// # Errors
/// A failure that names the line or the answer that is wrong.
pub fn read_form(path: &Path) -> Outcome<(Handling, Option<Zeroizing<String>>)> {
    let shown = escape::line(&path.display().to_string());
    let source = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| home::disk(&format!("could not read the form {shown}"), &error))?;
    let form: Form = toml::from_str(&source).map_err(|error| {
        Failure::new(format!(
            "the form {shown} is wrong: {}",
            escape::line(error.message())
        ))
        .hint("compare it with a fresh one: valise form")
    })?;
    let text = Zeroizing::new(form.text);
    let note = form.consent_note.trim();
    let handling = Handling {
        name_to_government: word("name_to_government", &form.name_to_government, &ANSWERS)?,
        name_in_public: word("name_in_public", &form.name_in_public, &ANSWERS)?,
        basis: word("consent_basis", &form.consent_basis, &BASES)?,
        note: (!note.is_empty()).then(|| note.to_owned()),
        timing: word("timing", &form.timing, &TIMINGS)?,
        attribution: word("attribution", &form.attribution, &ATTRIBUTIONS)?,
        language: form.language.trim().to_owned(),
    };
    check(&handling)
        .map_err(|failure| failure.hint("the explanations stand in a fresh form: valise form"))?;
    Ok((handling, (!text.trim().is_empty()).then_some(text)))
}

fn word<T: Copy>(key: &str, given: &str, words: &[(&str, T)]) -> Outcome<T> {
    let given = given.trim().to_lowercase();
    words
        .iter()
        .find(|(word, _)| *word == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let what = if given.is_empty() {
                "is empty".to_owned()
            } else {
                format!("is \"{}\"", escape::line(&given))
            };
            Failure::new(format!("{key} {what}: expected {}", known.join(", ")))
        })
}

/// Asks for the handling on the terminal.
///
/// # Errors
/// A failure when the terminal is gone.
pub fn ask(terminal: &mut Terminal) -> Outcome<Handling> {
    let name_to_government = pick(terminal, NAME_TO_GOVERNMENT, &ANSWERS)?;
    let name_in_public = if name_to_government == Answer::Yes {
        pick(terminal, NAME_IN_PUBLIC, &ANSWERS)?
    } else {
        Answer::No
    };
    let basis = pick(terminal, "Who agreed to this?", &BASES)?;
    let unobtainable = basis == ConsentBasis::Unobtainable;
    let question = if unobtainable {
        "Why could consent not be obtained?"
    } else {
        "Any condition? (Enter for none)"
    };
    let note = ask_until(terminal, question, |note| {
        if (unobtainable && note.is_empty()) || note.len() > NOTE {
            return Err(HandlingError::NoteLength);
        }
        Ok(())
    })?;
    let timing = pick(
        terminal,
        "When: about to happen, going on, past, a practice, or a law?",
        &TIMINGS,
    )?;
    let attribution = pick(
        terminal,
        "How may you, the source, be named to others? none is the Chatham House Rule.",
        &ATTRIBUTIONS,
    )?;
    let question = "Language of the text, such as en, fr, es, ar:";
    let language = ask_until(terminal, question, |language| {
        is_language(language)
            .then_some(())
            .ok_or(HandlingError::Language)
    })?;
    let name_in_public = if unobtainable {
        Answer::No
    } else {
        name_in_public
    };
    let note = (!note.is_empty()).then_some(note);
    let handling = Handling {
        name_to_government,
        name_in_public,
        basis,
        note,
        timing,
        attribution,
        language,
    };
    check(&handling)?;
    Ok(handling)
}

fn pick<T: Copy>(terminal: &mut Terminal, question: &str, words: &[(&str, T)]) -> Outcome<T> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let at = terminal.choose(question, &known)?;
    Ok(words[at].1)
}

/// Asks until the answer fits: one that does not must not lose the text that was typed before it.
fn ask_until(
    terminal: &mut Terminal,
    question: &str,
    fits: impl Fn(&str) -> Result<(), HandlingError>,
) -> Outcome<String> {
    loop {
        let answer = terminal.ask(question)?.to_string();
        match fits(&answer) {
            Ok(()) => return Ok(answer),
            Err(error) => terminal.show(&error.to_string())?,
        }
    }
}

fn check(handling: &Handling) -> Outcome<()> {
    if handling.note.as_ref().is_some_and(|note| note.len() > NOTE) {
        return Err(Failure::new(format!(
            "the note on consent is longer than {NOTE} bytes"
        )));
    }
    handling
        .check()
        .map_err(|error| Failure::new(format!("the handling does not fit together: {error}")))
}

/// The handling in words, one line each. The note is the sender's own text: whoever shows it quotes it, below these.
pub fn describe(handling: &Handling) -> Vec<String> {
    let say = |question: &str, answer: &str| format!("{question} {answer}");
    let answer = |answer: Answer| match answer {
        Answer::Yes => "Yes",
        Answer::No => "No",
        Answer::Ask => "No (ask the source first)",
    };
    let mut lines = vec![
        say(NAME_TO_GOVERNMENT, answer(handling.name_to_government)),
        say(NAME_IN_PUBLIC, answer(handling.name_in_public)),
        say("Basis of consent:", name(handling.basis, &BASES)),
    ];
    lines.push(say("Timing:", name(handling.timing, &TIMINGS)));
    lines.push(say(
        "Attribution of the source:",
        name(handling.attribution, &ATTRIBUTIONS),
    ));
    lines.push(say("Language:", &escape::line(&handling.language)));
    lines
}

/// The word of a basis of consent, for lists.
pub fn basis_word(basis: ConsentBasis) -> &'static str {
    name(basis, &BASES)
}

/// The word of a timing, for lists.
pub fn timing_word(timing: Timing) -> &'static str {
    name(timing, &TIMINGS)
}

fn name<T: PartialEq + Copy>(value: T, words: &[(&'static str, T)]) -> &'static str {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map_or("unknown", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(change: &dyn Fn(String) -> String) -> Outcome<(Handling, Option<Zeroizing<String>>)> {
        let filled = FORM
            .replace("name_to_government = \"\"", "name_to_government = \"yes\"")
            .replace("name_in_public = \"\"", "name_in_public = \"ask\"")
            .replace("consent_basis = \"\"", "consent_basis = \"family\"")
            .replace("timing = \"\"", "timing = \"ongoing\"")
            .replace("language = \"\"", "language = \"es\"");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), change(filled)).unwrap();
        read_form(file.path())
    }

    #[test]
    fn a_filled_form_gives_the_handling() {
        let (handling, text) = form(&|form| form).unwrap();
        assert_eq!(handling.name_to_government, Answer::Yes);
        assert_eq!(handling.basis, ConsentBasis::Family);
        assert!(text.is_none());
    }

    #[test]
    fn the_empty_form_is_refused_by_the_first_empty_answer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), FORM).unwrap();
        let what = read_form(file.path()).unwrap_err().what().to_owned();
        assert_eq!(what, "name_to_government is empty: expected no, yes, ask");
    }

    #[test]
    fn publication_without_the_government_is_refused() {
        let failure = form(&|form| {
            form.replace("government = \"yes\"", "government = \"no\"")
                .replace("\"ask\"", "\"yes\"")
        });
        assert!(
            failure
                .unwrap_err()
                .what()
                .starts_with("the handling does not fit together")
        );
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let failure = form(&|form| form.replace("timing", "tming")).unwrap_err();
        assert!(failure.what().contains("tming"), "{}", failure.what());
    }
}
