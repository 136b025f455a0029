//! `valise send`: a submission, on its way to a mechanism's inbox.

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use valise_protocol::card::{Known, VerifiedCard};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::id::Address;
use valise_protocol::limits::TEXT;
use valise_protocol::message::{Content, Handling, Message, ReplyKeys, Submission, SubmissionId};
use valise_protocol::phrase::DefenderKeys;
use valise_protocol::prekey::Prekey;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Stored;
use valise_protocol::words::comparison_words;

use crate::addressee::Addressee;
use crate::command::block_on;
use crate::command::card::name;
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::handling;
use crate::home;
use crate::interrupt::until_told;
use crate::phrase;
use crate::random;
use crate::session::{self, Accepted, CardFault, Errand, Poll, Result3, Sealed};
use crate::ui::{Terminal, note, say, say_wrapped, stdin_is_terminal};

/// Send a submission to a mechanism.
#[derive(Debug, clap::Args)]
pub struct Send {
    /// The mechanism: its contact line (valise1…@relay1…,host:port), or the file of its card.
    #[arg(long, value_name = "CONTACT")]
    to: String,
    /// The text of the case, UTF-8; standard input or a prompt if not given.
    file: Option<PathBuf>,
    /// A form filled in beforehand (see `valise form`): the handling, and the text if it holds one.
    #[arg(long, value_name = "FILE")]
    form: Option<PathBuf>,
    /// Go on under the return phrase of an earlier submission, which is asked for.
    #[arg(long)]
    again: bool,
    /// For programs: write the new phrase to this open descriptor, or with --again read it there.
    #[arg(long, value_name = "N")]
    phrase_fd: Option<u32>,
}

/// Runs it.
///
/// # Errors
/// A failure in the person's words. Nothing travels before the text, the handling and the phrase are there.
pub fn run(send: Send, now: Timestamp) -> Outcome<()> {
    let to = Addressee::read(&send.to, now)?;
    let (handling, text) = case(&send)?;
    let content = Content {
        text: text.to_string(),
        handling,
        others: Vec::new(),
        attached: None,
    };
    let content = Zeroizing::new(content.encode());
    introduce(&to);
    let phrase = if send.again {
        phrase::ask(send.phrase_fd)?
    } else {
        phrase::make(send.phrase_fd)?
    };
    note("working out the keys; this takes a moment");
    let keys = phrase.stretch().for_mechanism(&to.address);
    drop(phrase);
    let draft = Draft {
        address: to.address,
        relay: &to.relay,
        keys: &keys,
        content: &content,
        sealed: AtomicBool::new(false),
    };
    let known = to.card.as_ref().map(VerifiedCard::known);
    block_on(deliver(&draft, known, now))
}

/// What is to be sealed, and to whom the answers go.
struct Draft<'a> {
    address: Address,
    relay: &'a RelayContact,
    keys: &'a DefenderKeys,
    content: &'a [u8],
    /// Whether it was sealed: it leaves as soon as it is.
    sealed: AtomicBool,
}

impl Draft<'_> {
    fn id(&self) -> SubmissionId {
        SubmissionId::from_bytes(self.keys.message_tag(self.content).id())
    }

    /// What a person is told who pressed Ctrl-C, or whose system wanted an end.
    fn stopped(&self) -> Failure {
        if self.sealed.load(Ordering::Relaxed) {
            Failure::new("interrupted: the submission may have been sent").hint(
                "to be sure, give the same command again with --again and the same words and text: it never arrives twice",
            )
        } else {
            Failure::new("interrupted before the submission was sent").hint(
                "the same command again is safe; with --again it goes on under the same words",
            )
        }
    }

    /// The envelope for these readers (spec §4).
    fn seal(&self, readers: &[Prekey], epoch: u64) -> Result<Sealed, SealError> {
        self.sealed.store(true, Ordering::Relaxed);
        let tag = self.keys.message_tag(self.content);
        let reply = self.keys.reply().public();
        let message = Message::Submission(Submission {
            id: self.id(),
            epoch,
            reply: ReplyKeys {
                prekey: reply,
                mailbox: self.keys.mailbox(&self.relay.id()),
                relay: self.relay.id(),
            },
            content: self.content.to_vec(),
            holders: vec![],
        });
        let message = Zeroizing::new(message.encode());
        let envelope = seal(
            readers,
            &self.address,
            &self.keys.send(),
            &message,
            &mut random::system(),
        )?;
        Ok(Sealed {
            envelope,
            withdraw: tag.withdraw_hash(&self.relay.id()),
        })
    }
}

/// The handling and the text, from wherever they were given; refused here, before anything travels.
fn case(send: &Send) -> Outcome<(Handling, Zeroizing<String>)> {
    let form = send.form.as_deref().map(handling::read_form).transpose()?;
    let (handling, in_form) = form.map_or((None, None), |(handling, text)| (Some(handling), text));
    let text = match (in_form, &send.file) {
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

fn read_text(file: &std::path::Path) -> Outcome<Zeroizing<String>> {
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
            .hint("save it as plain text in UTF-8; other files cannot be sent yet")
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

/// What is known before anything travels.
fn introduce(to: &Addressee) {
    to.tell();
    if let Some(card) = &to.card {
        note(&format!(
            "this card calls itself {}; nobody vouches for it.",
            name(card)
        ));
    }
    note("compare these six words with the mechanism's own website before you go on:");
    note(&format!("  {}", comparison_words(to.address.as_bytes())));
    note(
        "with one relay, its operator sees your network address and that you reached this inbox, \
         not what you say. Whoever watches your network sees that you use this program, and when.",
    );
}

async fn deliver(draft: &Draft<'_>, known: Option<Known>, now: Timestamp) -> Outcome<()> {
    note("sending");
    let result = small_session(draft, known, None, now).await?;
    let card = match result.card {
        Ok(card) => card,
        Err(fault) => return Err(Failure::from(fault).hint("nothing was sent")),
    };
    note(&format!(
        "this card calls itself {}; nobody vouches for it.",
        name(&card)
    ));
    if let Ok(readers) = card.readers(now) {
        let stored = result.deposit.map_err(Failure::from)?;
        return report(draft, &card, readers.len(), stored, now);
    }
    accept_staleness(&card, now)?;
    let accepted = Some(Accepted::of(&card, now));
    let result = small_session(draft, Some(card.known()), accepted, now).await?;
    let card = result
        .card
        .map_err(|fault: CardFault| Failure::from(fault).hint("nothing was sent"))?;
    let Some(readers) = Accepted::readers(accepted, &card, now) else {
        return Err(
            Failure::new("the mechanism's card changed meanwhile, so nothing was sent")
                .hint("send again: you will be asked about the one that is there now"),
        );
    };
    let stored = result.deposit.map_err(Failure::from)?;
    report(draft, &card, readers.len(), stored, now)
}

async fn small_session(
    draft: &Draft<'_>,
    known: Option<Known>,
    despite_staleness: Option<Accepted>,
    now: Timestamp,
) -> Outcome<Result3> {
    let errand = Errand {
        address: draft.address,
        known,
        despite_staleness,
        deposit: Some(&|readers, epoch| draft.seal(readers, epoch)),
        poll: Poll::Nothing,
    };
    match until_told(session::run(draft.relay, errand, now)).await {
        Some(result) => Ok(result?),
        None => Err(draft.stopped()),
    }
}

/// Too few devices are fresh: the person decides, knowing the risk (spec §5.3).
fn accept_staleness(card: &VerifiedCard, now: Timestamp) -> Outcome<()> {
    let (fresh, devices) = card.freshness(now);
    let what = format!(
        "only {fresh} of the mechanism's {devices} devices have renewed their keys in the last 14 days"
    );
    let refused = Failure::new(format!("{what}, so nothing was sent"))
        .hint("try again in some days, or tell the mechanism by another way");
    let Ok(mut terminal) = Terminal::open() else {
        return Err(refused);
    };
    note(&format!(
        "{what}. Either they are away, or somebody is holding back newer keys and has a device that was taken from them. \
         If you send now, such a device could read it."
    ));
    if terminal.confirm("Send all the same?")? {
        Ok(())
    } else {
        Err(refused)
    }
}

/// What the person may now count on.
fn report(
    draft: &Draft<'_>,
    card: &VerifiedCard,
    readers: usize,
    stored: Stored,
    now: Timestamp,
) -> Outcome<()> {
    let devices = card.roster().devices().len();
    let (shortest, longest) = card
        .relay_descriptors()
        .find(|relay| relay.id() == draft.relay.id())
        .map_or((23, 37), |relay| relay.retention_days());
    let id = draft.id();
    say_wrapped(&match stored {
        Stored::New => format!("Stored at the relay: submission {id}."),
        Stored::Already => {
            format!("Stored at the relay already: submission {id}. It was not stored twice.")
        }
        Stored::Replaced => {
            format!(
                "Stored at the relay: submission {id}. It took the place of your earlier copy, which not \
                 every device had collected yet."
            )
        }
    });
    say_wrapped(&format!(
        "{readers} of {devices} devices of {} will be able to read it.",
        name(card)
    ));
    say_wrapped("Nobody has read it yet. When somebody does and says so, `valise check` shows it.");
    say_wrapped(&format!(
        "Unread mail is deleted by the relay {shortest} to {longest} days after it arrived: if there is no \
         acknowledgement by {}, it has expired, and you should send it again.",
        now.plus(longest * valise_protocol::limits::DAY)
    ));
    say("To read the answers, from any computer:\n  valise check --to CONTACT");
    Ok(())
}
