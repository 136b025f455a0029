//! The return phrase on a terminal: after the program neither the screen nor its scroll-back holds a word of it.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::net::UdpSocket;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::phrase::ReturnPhrase;
use valise_tests::program::Invocation;
use valise_tests::stage::{FORM, Stage};
use valise_tests::terminal::{Dialogue, Setting, staying, words};

const QUESTION: &str = "The twelve words of your return phrase:";
const ENTERED: &str = "\u{1b}[?1049h";
const LEFT: &str = "\u{1b}[?1049l";
const BACKSPACE: &str = "\u{7f}";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// A terminal that has a screen for pages.
fn start(stage: &Stage, invocation: Invocation) -> Dialogue {
    let setting = Setting {
        kind: Some("xterm-256color"),
        ..Setting::default()
    };
    Dialogue::start_in(stage, invocation, &setting)
}

/// A contact whose relay is a socket of this test, which sees whether anything travels.
fn contact_of_nobody() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = Address::from_bytes([7; 32]);
    let relay = RelayId::from_bytes([8; 32]);
    let port = socket.local_addr().unwrap().port();
    (socket, format!("{address}@{relay},127.0.0.1:{port}"))
}

fn nothing_travelled(socket: &UdpSocket) -> bool {
    socket.recv(&mut [0; 2_000]).is_err()
}

fn check(stage: &Stage, contact: &str) -> Invocation {
    stage.defender().args(["check", "--to", contact])
}

fn send(stage: &Stage, contact: &str) -> Invocation {
    stage.write("form.toml", FORM);
    stage.write("case.txt", "Four men took her from her home.");
    let args = ["send", "--to", contact, "--form", "form.toml", "case.txt"];
    stage.defender().args(args)
}

/// A phrase with none of the words of this program's sentences in it.
fn phrase() -> Vec<&'static str> {
    let phrase = ReturnPhrase::from_entropy(&[0xb7; 16]);
    phrase.expose_words()
}

/// The words of a text, without marks.
fn words_of(text: &str) -> HashSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphabetic());
    words.map(str::to_lowercase).collect()
}

fn assert_none_stays(seen: &str, phrase: &[impl AsRef<str>], said_anyway: &str) {
    let (stays, anyway) = (words_of(&staying(seen)), words_of(said_anyway));
    for word in phrase.iter().map(AsRef::as_ref) {
        assert!(
            !stays.contains(word) || anyway.contains(word),
            "{word}: {seen:?}"
        );
    }
}

#[test]
fn the_words_typed_at_check_are_neither_on_the_screen_nor_in_the_scroll_back_afterwards() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let mut dialogue = start(&stage, check(&stage, &contact));
    dialogue.see(ENTERED);
    dialogue.see(QUESTION);
    dialogue.see("1. ");
    assert!(!dialogue.echoes());
    dialogue.answer(&phrase().join(" "));
    dialogue.see(LEFT);
    dialogue.see("No answer.");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert!(
        words_of(&seen).contains(phrase()[11]),
        "the control: {seen:?}"
    );
    assert_none_stays(&seen, &phrase(), "");
    assert!(!staying(&seen).contains(QUESTION));
}

#[test]
fn words_are_taken_over_several_lines_and_may_be_mended_while_they_are_typed() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let mut dialogue = start(&stage, check(&stage, &contact));
    dialogue.see("1. ");
    let phrase = phrase();
    dialogue.type_in("something\u{15}");
    for (at, word) in phrase.iter().enumerate() {
        dialogue.see(&format!("{}. ", at + 1));
        // A letter too many, an arrow key, and the letter taken back; then a line end or a space.
        dialogue.type_in(&format!("{word}x\u{1b}[D{BACKSPACE}"));
        dialogue.type_in(if at % 3 == 0 { "\r" } else { " " });
    }
    dialogue.type_in(&format!("{BACKSPACE}{BACKSPACE}"));
    dialogue.type_in(&phrase[11][phrase[11].len() - 1..]);
    dialogue.answer("");
    dialogue.see("No answer.");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert_none_stays(&seen, &phrase, "");
}

#[test]
fn a_word_off_the_list_is_named_and_asked_again_on_the_page_and_nowhere_else() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let mut dialogue = start(&stage, check(&stage, &contact));
    dialogue.see(QUESTION);
    let phrase = phrase();
    let mut typed = phrase.clone();
    typed[2] = "abandonn";
    typed[7] = "xyzzy";
    dialogue.answer(&typed.join("\r"));
    dialogue.see("word 3, \"abandonn\", is not on the list");
    dialogue.see("did you mean \"abandon\"?");
    dialogue.asked("Word 3:", "abandon");
    dialogue.see("word 8, \"xyzzy\", is not on the list");
    dialogue.asked("Word 8:", phrase[7]);
    dialogue.see("these twelve words do not belong together");
    dialogue.see("You typed: ");
    assert!(words_of(&dialogue.see(QUESTION)).contains(phrase[11]));
    dialogue.answer(&phrase[..11].join(" "));
    dialogue.see("12. ");
    dialogue.answer(&[phrase[11], "many"].join(" "));
    dialogue.see("a return phrase has twelve words, these are 13");
    dialogue.asked(QUESTION, &phrase.join(" "));
    dialogue.see("No answer.");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert_none_stays(&seen, &phrase, "");
    assert_none_stays(&seen, &["abandonn", "abandon", "xyzzy"], "");
}

#[test]
fn ctrl_c_and_ctrl_d_leave_no_page_behind_and_send_nothing() {
    let stage = stage();
    for keys in ["\u{3}", "\u{4}", "abandon\u{3}", "abandon ability\u{4}"] {
        let (socket, contact) = contact_of_nobody();
        let mut dialogue = start(&stage, check(&stage, &contact));
        dialogue.see("1. ");
        dialogue.type_in(keys);
        dialogue.see(LEFT);
        let (status, seen) = dialogue.end();
        assert_eq!(status, 1);
        let stays = staying(&seen);
        assert!(stays.starts_with("valise: error: "), "{stays}");
        assert!(stays.contains("valise: hint: nothing was done"), "{stays}");
        assert_none_stays(&seen, &["abandon", "ability"], "");
        assert!(nothing_travelled(&socket));
    }
}

#[test]
fn a_signal_that_ends_the_program_leaves_no_page_behind() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let mut dialogue = start(&stage, check(&stage, &contact));
    dialogue.see("1. ");
    dialogue.type_in(&phrase().join(" "));
    dialogue.see(phrase()[11]);
    let pid = i32::try_from(dialogue.pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.unwrap(), Signal::TERM).unwrap();
    dialogue.see(LEFT);
    let (status, seen) = dialogue.end();
    assert_eq!(status, 1);
    assert!(
        staying(&seen).contains("valise: error: interrupted"),
        "{seen:?}"
    );
    assert_none_stays(&seen, &phrase(), "");
    assert!(nothing_travelled(&socket));
}

#[test]
fn the_words_shown_and_asked_back_at_send_are_on_a_page_and_nowhere_else() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let piped = send(&stage, &contact).receiving("--phrase-fd").run();
    let anyway = piped.stdout + &piped.stderr;

    let mut dialogue = start(&stage, send(&stage, &contact));
    let before = dialogue.see(ENTERED);
    assert!(!before.contains(" 1. "), "{before}");
    let phrase = words(&dialogue.see("Press Enter when you have them."));
    dialogue.answer("");
    dialogue.see("\u{1b}[2J");
    for _ in 0..2 {
        dialogue.see("Word ");
        let place: usize = dialogue.see(":").parse().unwrap();
        dialogue.answer(&phrase[place - 1]);
    }
    dialogue.see(LEFT);
    dialogue.see("Stored at the relay");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert_none_stays(&seen, &phrase, &anyway);
    assert!(!staying(&seen).contains("Word "), "{seen:?}");

    let again = send(&stage, &contact).args(["--again"]);
    let mut dialogue = start(&stage, again);
    dialogue.asked(QUESTION, &phrase.join(" "));
    dialogue.see(LEFT);
    dialogue.see("It took the place of your earlier");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert_none_stays(&seen, &phrase, &anyway);
}

#[test]
fn an_interrupt_while_the_words_are_shown_or_asked_back_leaves_no_page_behind() {
    let stage = stage();
    for asked_back in [false, true] {
        let (socket, contact) = contact_of_nobody();
        let mut dialogue = start(&stage, send(&stage, &contact));
        dialogue.see("Press Enter when you have them.");
        if asked_back {
            dialogue.answer("");
            dialogue.see("Word ");
        }
        dialogue.interrupt();
        dialogue.see(LEFT);
        let (status, seen) = dialogue.end();
        assert_eq!(status, 1);
        let stays = staying(&seen);
        assert!(stays.contains("valise: error: interrupted"), "{stays}");
        assert!(!stays.contains("12. "), "{stays}");
        assert!(nothing_travelled(&socket));
    }
}

#[test]
fn a_terminal_that_keeps_what_it_shows_is_shown_nothing_of_what_is_typed() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let mut dialogue = Dialogue::start(&stage, check(&stage, &contact));
    dialogue.see("what you type is not shown");
    dialogue.see(QUESTION);
    let phrase = phrase();
    dialogue.answer(&phrase[..5].join(" "));
    dialogue.see("5 of 12 words so far:");
    let mut rest = phrase[5..].to_vec();
    rest[1] = "abandonn";
    dialogue.answer(&rest.join(" "));
    dialogue.see("word 7 is not on the list");
    dialogue.asked("Word 7:", phrase[6]);
    dialogue.see("No answer.");
    let (status, seen) = dialogue.end();
    assert_eq!(status, 0);
    assert_none_stays(&seen, &phrase, "");
    assert_none_stays(&seen, &["abandonn", "abandon"], "");
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
}
