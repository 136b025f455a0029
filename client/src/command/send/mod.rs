//! `valise send`: a submission, on its way to the inboxes of mechanisms, and the files that travel beside it.

pub mod case;
pub mod delivery;
mod bulk;
pub mod plan;
mod status;
mod withdraw;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{ArgAction, Args};
use valise_protocol::limits::OTHERS;
use valise_protocol::message::Content;
use valise_protocol::phrase::DefenderRoot;
use valise_protocol::time::Timestamp;
use valise_protocol::words::comparison_words;
use zeroize::Zeroizing;

use crate::addressee::Addressee;
use crate::attach::{Choice, Files, choose};
use crate::command::card::name;
use crate::command::{self, block_on, block_on_all_cores};
use crate::failure::{Failure, Outcome};
use crate::link::Pace;
use crate::phrase;
use crate::ui::note;

use self::delivery::Delivery;
use self::plan::Plan;

/// Send a submission, and files with it, to one mechanism or several.
#[derive(Debug, Args)]
pub struct Send {
    #[command(flatten)]
    case: Case,
    /// Go on under the return phrase of an earlier submission, which is asked for. What is stored already does not travel again.
    #[arg(long)]
    again: bool,
    /// For programs: write the new phrase to this open descriptor, or with --again read it there.
    #[arg(long, value_name = "N")]
    phrase_fd: Option<u32>,
    /// Send no faster, in bytes a second, such as 200k or 2M.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit_rate: Option<u64>,
    /// For programs: do not ask before the files travel, or before --withdraw deletes parcels that others may need.
    #[arg(long)]
    yes: bool,
    /// Only tell how much of the files has arrived, by the words and the same files. Nothing is sent.
    #[arg(long, conflicts_with_all = ["withdraw", "again"])]
    status: bool,
    /// Take a submission back, by the words, the same text, form, files and options: what was not collected yet is deleted.
    #[arg(long, conflicts_with = "again")]
    withdraw: bool,
}

/// What is sent, and to whom.
#[derive(Debug, Args)]
pub struct Case {
    /// A mechanism: its contact line (valise1…@relay1…,host:port), or the file of its card. Once for each.
    #[arg(long, value_name = "CONTACT", required = true, action = ArgAction::Append)]
    pub to: Vec<String>,
    /// The text of the case, UTF-8; standard input or a prompt if not given.
    pub file: Option<PathBuf>,
    /// A form filled in beforehand (see `valise form`): the handling, and the text if it holds one.
    #[arg(long, value_name = "FILE")]
    pub form: Option<PathBuf>,
    /// A file to send with it. Once for each.
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub attach: Vec<PathBuf>,
    /// What becomes of what the files say of where, when and by what they were made: once for all files, or once for each. Asked if not given.
    #[arg(long, value_enum, action = ArgAction::Append, requires = "attach")]
    pub metadata: Vec<Choice>,
    /// Send the files' own names too.
    #[arg(long, requires = "attach")]
    pub keep_name: bool,
    /// Do not tell the mechanisms of each other. Files are then sent once for each.
    #[arg(long)]
    pub undisclosed: bool,
}

/// Runs it.
///
/// # Errors
/// A failure in the person's words. Nothing travels before the text, the handling, the files and the phrase are there.
pub fn run(send: Send, now: Timestamp) -> Outcome<()> {
    let to = addressees(&send.case.to, now)?;
    if send.status {
        return status::run(&send, &to, now);
    }
    let (handling, text) = case::read(&send.case)?;
    let content = Content {
        text: text.to_string(),
        handling,
        others: Vec::new(),
        attached: None,
    };
    let files = files(&send.case)?;
    if send.withdraw {
        return withdraw::run(&send, &to, &content, files.as_ref(), now);
    }
    introduce(&to);
    let phrase = if send.again {
        phrase::ask(send.phrase_fd)?
    } else {
        phrase::make(send.phrase_fd)?
    };
    note("working out the keys; this takes a moment");
    let root = phrase.stretch();
    drop(phrase);
    let work = async {
        let plan = Plan::make(&send, &to, files.as_ref(), root, content, now).await?;
        plan.tell_cost(&send)?;
        plan.carry_out(pace(&send), &command::now).await
    };
    if files.is_some() {
        block_on_all_cores(work)
    } else {
        block_on(work)
    }
}

/// Reads every `--to`.
///
/// # Errors
/// A failure about the first that is wrong, or named twice.
pub fn addressees(given: &[String], now: Timestamp) -> Outcome<Vec<Addressee>> {
    if given.len() > OTHERS + 1 {
        return Err(Failure::new(format!(
            "{} mechanisms are named, a submission goes to at most {}",
            given.len(),
            OTHERS + 1
        ))
        .hint("send it in two parts, the second with --again and the same words"));
    }
    let mut to: Vec<Addressee> = Vec::with_capacity(given.len());
    for line in given {
        let addressee = Addressee::read(line, now)?;
        if to.iter().any(|before| before.address == addressee.address) {
            return Err(Failure::new("a mechanism is named twice with --to")
                .hint("name each once: it gets one copy"));
        }
        to.push(addressee);
    }
    Ok(to)
}

/// The files, after their first reading; `None` where there are none.
///
/// # Errors
/// A failure about the first that cannot be sent.
pub fn files(case: &Case) -> Outcome<Option<Files>> {
    let sources = choose(&case.attach, &case.metadata, case.keep_name)?;
    if sources.is_empty() {
        return Ok(None);
    }
    Files::read(sources).map(Some)
}

/// What each mechanism is told: the same, but for whom else it goes to.
pub fn content_for(case: &Case, to: &[Addressee], at: usize, content: &Content) -> Content {
    let mut content = content.clone();
    if !case.undisclosed {
        let others = to.iter().enumerate().filter(|(other, _)| *other != at);
        content.others = others.map(|(_, other)| other.address).collect();
        content.others.sort_unstable();
    }
    content
}

/// A delivery to each mechanism, of what it is told. Who holds the parcels is not known yet.
pub fn delivery<'a>(to: &'a Addressee, root: &DefenderRoot, content: &Content) -> Delivery<'a> {
    Delivery {
        to,
        keys: root.for_mechanism(&to.address),
        content: Zeroizing::new(content.encode()),
        holders: Vec::new(),
        sealed: AtomicBool::new(false),
    }
}

/// What is known before anything travels.
pub fn introduce(to: &[Addressee]) {
    for to in to {
        to.tell();
        if let Some(card) = &to.card {
            note(&format!(
                "this card calls itself {}; nobody vouches for it.",
                name(card)
            ));
        }
        note("compare these six words with the mechanism's own website before you go on:");
        note(&format!("  {}", comparison_words(to.address.as_bytes())));
    }
    note(
        "with one relay, its operator sees your network address and that you reached this inbox, \
         not what you say. Whoever watches your network sees that you use this program, and when.",
    );
}

fn pace(send: &Send) -> Option<Arc<Pace>> {
    send.limit_rate.map(|rate| Arc::new(Pace::new(rate)))
}

/// Reads a rate: a number of bytes a second, with k for thousands or M for millions.
///
/// # Errors
/// What was expected.
pub fn rate(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    let rate = digits.parse::<u64>().ok();
    rate.and_then(|rate| rate.checked_mul(unit))
        .filter(|rate| *rate >= 1_000)
        .ok_or_else(|| "expected bytes a second, at least 1k, such as 200k or 2M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        assert_eq!(rate("200k"), Ok(200_000));
        assert_eq!(rate("2M"), Ok(2_000_000));
        assert_eq!(rate("1000"), Ok(1_000));
        for wrong in [
            "",
            "k",
            "0",
            "999",
            "1G",
            "-1k",
            "1.5M",
            "99999999999999999999",
        ] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
