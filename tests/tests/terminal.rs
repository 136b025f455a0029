//! What people are asked and shown on a terminal, by the real program on a pseudo-terminal.

#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::path::Path;

use valise_tests::program::Invocation;
use valise_tests::stage::{FORM, ROOT, Stage, VAULT};
use valise_tests::terminal::{Dialogue, Setting, words};

const TEXT: &str = "Four men took her from her home.";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// A defender who has filled in a form, and has the text in a file.
fn prepared(stage: &Stage, contact: &str) -> Invocation {
    stage.write("form.toml", FORM);
    stage.write("case.txt", TEXT);
    let args = ["send", "--to", contact, "--form", "form.toml", "case.txt"];
    stage.defender().args(args)
}

/// A contact whose relay is a socket of this test, which sees whether anything travels.
fn contact_of_nobody() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = valise_protocol::id::Address::from_bytes([7; 32]);
    let relay = valise_protocol::id::RelayId::from_bytes([8; 32]);
    let port = socket.local_addr().unwrap().port();
    (socket, format!("{address}@{relay},127.0.0.1:{port}"))
}

fn nothing_travelled(socket: &UdpSocket) -> bool {
    socket.recv(&mut [0; 2_000]).is_err()
}

/// Reads the two questions for words and answers them, rightly or with another word.
fn give_back(dialogue: &mut Dialogue, words: &[String], rightly: bool) {
    for _ in 0..2 {
        dialogue.see("Word ");
        let place: usize = dialogue.see(":").parse().unwrap();
        let right = &words[place - 1];
        let wrong = if right == "zoo" { "zebra" } else { "zoo" };
        dialogue.answer(if rightly { right } else { wrong });
    }
}

/// Answers until the words are shown; gives them.
fn shown(dialogue: &mut Dialogue) -> Vec<String> {
    let page = dialogue.see("Press Enter when you have them.");
    dialogue.answer("");
    words(&page)
}

#[test]
fn send_asks_for_the_text_and_the_handling_and_two_of_the_twelve_words_and_then_sends() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let send = stage.defender().args(["send", "--to", &contact]);
    let mut dialogue = Dialogue::start(&stage, send);
    dialogue.see("End with a line that is a single full stop.");
    dialogue.answer(TEXT);
    dialogue.answer("It was on a Monday.");
    dialogue.answer(".");
    dialogue.asked("in a letter to the Government? [no/yes/ask]", "perhaps");
    dialogue.see("please answer one of: no, yes, ask");
    dialogue.asked("[no/yes/ask]", "y");
    dialogue.asked("public database? [no/yes/ask]", "no");
    dialogue.asked("[self/representative/family/unobtainable]", "fam");
    dialogue.asked("Any condition? (Enter for none)", "ask her sister");
    dialogue.asked("[imminent/ongoing/past/pattern/law]", "past");
    dialogue.asked("[none/organisation/named]", "none");
    dialogue.asked("Language of the text, such as en, fr, es, ar:", "en");
    let page = dialogue.see("Press Enter when you have them.");
    assert!(page.contains("the only way to read the answers"), "{page}");
    assert!(!page.contains("Stored"), "{page}");
    let words = words(&page);
    dialogue.answer("");
    give_back(&mut dialogue, &words, true);
    dialogue.see("Stored at the relay: submission ");
    dialogue.see("Nobody has read it yet");
    assert_eq!(dialogue.end().0, 0);

    stage
        .officer("officer")
        .args(["inbox", "pull"])
        .run()
        .succeeded();
    let list = stage.officer("officer").args(["inbox", "list"]).run();
    let list = list.succeeded().stdout;
    assert!(list.contains("past; Government: yes; public: no"), "{list}");
    let checked = stage.check(&contact, &words.join(" ")).succeeded();
    assert!(checked.stdout.contains("No answer."), "{}", checked.stdout);
}

#[test]
fn an_answer_to_the_handling_that_is_not_one_does_not_lose_the_text() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let send = stage.defender().args(["send", "--to", &contact]);
    let mut dialogue = Dialogue::start(&stage, send);
    dialogue.see("full stop.");
    dialogue.answer(TEXT);
    dialogue.answer(".");
    dialogue.asked("[no/yes/ask]", "no");
    dialogue.asked("[self/representative/family/unobtainable]", "unobtainable");
    dialogue.asked("Why could consent not be obtained?", "");
    dialogue.see("the note on consent must have 1 to 2000 bytes");
    dialogue.asked("Why could consent not be obtained?", "she is held");
    dialogue.asked("[imminent/ongoing/past/pattern/law]", "imminent");
    dialogue.asked("[none/organisation/named]", "none");
    dialogue.asked("Language of the text, such as en, fr, es, ar:", "English!");
    dialogue.see("the language must be a tag such as en, fr or uz-Cyrl");
    dialogue.asked("Language of the text, such as en, fr, es, ar:", "en");
    dialogue.see("Press Enter when you have them.");
    assert!(nothing_travelled(&socket));
}

#[test]
fn a_wrong_word_shows_the_words_again_and_the_right_ones_go_on() {
    let stage = stage();
    let (_, contact) = contact_of_nobody();
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    let first = shown(&mut dialogue);
    give_back(&mut dialogue, &first, false);
    dialogue.see("Here they are again.");
    let second = shown(&mut dialogue);
    assert_eq!(first, second);
    give_back(&mut dialogue, &second, true);
    dialogue.see("sending");
}

#[test]
fn whoever_does_not_have_the_words_after_three_tries_sends_nothing_and_is_told() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    for _ in 0..3 {
        let words = shown(&mut dialogue);
        give_back(&mut dialogue, &words, false);
    }
    dialogue.see("valise: error: the words were not given back, so nothing was sent");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 1);
    assert!(screen.contains("valise: hint: "), "{screen}");
    assert_eq!(screen.matches("Press Enter").count(), 3, "{screen}");
    assert!(nothing_travelled(&socket));
}

#[test]
fn nothing_travels_before_the_words_were_given_back() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    let words = shown(&mut dialogue);
    dialogue.see("Word ");
    assert!(nothing_travelled(&socket));
    let place: usize = dialogue.see(":").parse().unwrap();
    dialogue.answer(&words[place - 1]);
    dialogue.see("Word ");
    let place: usize = dialogue.see(":").parse().unwrap();
    dialogue.answer(&words[place - 1]);
    dialogue.see("sending");
    // The control: now something does.
    socket.set_nonblocking(false).unwrap();
    assert!(socket.recv(&mut [0; 2_000]).unwrap() > 0);
}

#[test]
fn an_input_that_ends_sends_nothing() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    shown(&mut dialogue);
    dialogue.see("Word ");
    dialogue.end_input();
    dialogue.see("valise: error: ");
    assert_eq!(dialogue.end().0, 1);
    assert!(nothing_travelled(&socket));
}

#[test]
fn a_plain_terminal_gets_no_escape_sequence() {
    let stage = stage();
    let (_, contact) = contact_of_nobody();
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    let page = dialogue.see("Press Enter when you have them.");
    dialogue.answer("");
    give_back(&mut dialogue, &words(&page), false);
    let rest = dialogue.see("again.");
    assert!(!(page + &rest).contains('\u{1b}'));
}

#[test]
fn the_phrase_is_on_the_terminal_and_in_no_stream_that_is_a_file() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let setting = Setting {
        redirections: ">out 2>err".into(),
        ..Setting::default()
    };
    let mut dialogue = Dialogue::start_in(&stage, prepared(&stage, &contact), &setting);
    let words = shown(&mut dialogue);
    give_back(&mut dialogue, &words, true);
    assert_eq!(dialogue.end().0, 0);
    let said = ["out", "err"].map(|name| std::fs::read_to_string(stage.path().join(name)).unwrap());
    assert!(said[0].contains("Stored at the relay"), "{}", said[0]);
    assert!(said[1].contains("valise: sending"), "{}", said[1]);
    for text in &said {
        assert!(!text.contains(&words.join(" ")));
        assert!(!text.contains("return phrase. These"), "{text}");
        for (at, word) in words.iter().enumerate() {
            assert!(!text.contains(&format!("{}. {word}", at + 1)), "{text}");
        }
    }
}

/// The terminal's own line editing would cut it without a word, and half a case would travel.
#[test]
fn a_line_that_the_terminal_cut_is_refused_before_anything_travels() {
    let stage = stage();
    let (socket, contact) = contact_of_nobody();
    let send = stage.defender().args(["send", "--to", &contact]);
    let mut dialogue = Dialogue::start(&stage, send);
    dialogue.see("single full stop.");
    dialogue.answer(&"a long story ".repeat(600));
    let rest = dialogue.see("give the text as a");
    assert!(rest.contains("4095 bytes of a line"), "{rest}");
    assert_eq!(dialogue.end().0, 1);
    assert!(socket.recv(&mut [0; 2048]).is_err(), "nothing travelled");
}

#[test]
fn again_asks_for_the_words_and_leaves_one_submission() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let mut dialogue = Dialogue::start(&stage, prepared(&stage, &contact));
    let words = shown(&mut dialogue);
    give_back(&mut dialogue, &words, true);
    assert_eq!(dialogue.end().0, 0);

    let again = prepared(&stage, &contact).args(["--again"]);
    let mut dialogue = Dialogue::start(&stage, again);
    dialogue.asked("The twelve words of your return phrase:", &words.join(" "));
    dialogue.see("It took the place of your earlier");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 0);
    assert!(!screen.contains("Press Enter"), "{screen}");
    let pull = stage.officer("officer").args(["inbox", "pull"]).run();
    assert!(pull.succeeded().stdout.starts_with("1 new submission\n"));
}

#[test]
fn check_asks_the_words_until_they_are_right_and_offers_to_delete_the_answers() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let sent = stage.send(&contact, TEXT).succeeded();
    let phrase = sent.received.unwrap();
    stage.officer("officer").args(["inbox", "pull"]).run();
    let list = stage.officer("officer").args(["inbox", "list"]).run();
    let id = list.stdout.split_whitespace().next().unwrap().to_owned();
    stage
        .officer("officer")
        .args(["inbox", "reply", &id, "--delay", "0"])
        .stdin("We will look into it.")
        .run()
        .succeeded();

    let check = || stage.defender().args(["check", "--to", &contact]);
    let mut dialogue = Dialogue::start(&stage, check());
    let question = "The twelve words of your return phrase:";
    dialogue.asked(question, &["abandon"; 12].join(" "));
    dialogue.see("these twelve words do not belong together");
    let upper = phrase.to_uppercase().replace(' ', "   ");
    dialogue.asked(question, &upper);
    dialogue.see("  | We will look into it.");
    dialogue.asked("Delete these answers from the relay now?", "no");
    assert_eq!(dialogue.end().0, 0);

    let mut dialogue = Dialogue::start(&stage, check());
    dialogue.asked(question, &phrase);
    dialogue.see("  | We will look into it.");
    dialogue.asked("Delete these answers from the relay now?", "yes");
    dialogue.see("Deleted from the relay.");
    assert_eq!(dialogue.end().0, 0);

    let mut dialogue = Dialogue::start(&stage, check());
    dialogue.asked(question, &phrase);
    dialogue.see("No answer.");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 0);
    assert!(!screen.contains("Delete these"), "{screen}");
}

#[test]
fn passphrases_are_asked_twice_without_echo_and_a_mistyped_repeat_is_told() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let args = ["mechanism", "init", "--name", "Desk", "--relay", &relay];
    let init = stage.defender().home(&stage.home("officer")).args(args);
    let mut dialogue = Dialogue::start(&stage, init);
    dialogue.asked_hidden("New passphrase of the vault:", "short");
    dialogue.see("a passphrase has at least 10 characters");
    dialogue.asked_hidden("New passphrase of the vault:", VAULT);
    dialogue.asked_hidden("The same again:", "a passphrase for the vault of a tset");
    dialogue.see("The two differ.");
    dialogue.asked_hidden("New passphrase of the vault:", VAULT);
    dialogue.asked_hidden("The same again:", VAULT);
    dialogue.asked_hidden("New passphrase of the root key:", ROOT);
    dialogue.asked_hidden("The same again:", ROOT);
    dialogue.see("the root key is in ");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 0, "{screen}");
    for secret in ["short", VAULT, ROOT, "tset"] {
        assert!(!screen.contains(&format!("{secret}\n")), "{screen}");
    }
}

#[test]
fn a_vault_asks_its_passphrase_without_echo_and_a_wrong_one_changes_nothing() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    stage.init_mechanism("officer", &relay);
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(stage.home("officer/vault"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let pull = || {
        let officer = stage.defender().home(&stage.home("officer"));
        Dialogue::start(&stage, officer.args(["inbox", "pull"]))
    };
    let mut dialogue = pull();
    dialogue.asked_hidden("Passphrase of the vault:", "not the passphrase");
    dialogue.see("valise: error: the passphrase is wrong");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 1);
    assert!(!screen.contains("not the passphrase"), "{screen}");
    assert!(before == files());

    let mut dialogue = pull();
    dialogue.asked_hidden("Passphrase of the vault:", VAULT);
    dialogue.see("no new submissions");
    let (status, screen) = dialogue.end();
    assert_eq!(status, 0);
    assert!(!screen.contains(VAULT), "{screen}");
}

#[test]
fn what_is_typed_at_an_ordinary_question_is_shown() {
    // The control of the tests without echo.
    let stage = stage();
    let (_, contact) = contact_of_nobody();
    let send = stage.defender().args(["send", "--to", &contact]);
    let mut dialogue = Dialogue::start(&stage, send);
    dialogue.see("full stop.");
    assert!(dialogue.echoes());
    dialogue.answer("twelve");
    dialogue.see("twelve");
}

#[test]
fn a_root_key_signs_only_after_a_person_saw_the_devices_and_agreed() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    stage.init_mechanism("officer", &relay);
    let root = stage.root_of("officer");
    let renew = || {
        let renew = ["mechanism", "renew", "--root", &root];
        let officer = stage.officer("officer").args(renew);
        officer.secret("--root-passphrase-fd", ROOT)
    };
    let mut dialogue = Dialogue::start(&stage, renew());
    dialogue.see("roster 2 of ");
    dialogue.see("  1. ");
    dialogue.see(": newest prekey of ");
    dialogue.asked("Sign roster 2? [yes/no]", "no");
    dialogue.see("valise: error: nothing was signed");
    assert_eq!(dialogue.end().0, 1);

    let nowhere_to_ask = Setting {
        through: "setsid --wait".into(),
        ..Setting::default()
    };
    let mut dialogue = Dialogue::start_in(&stage, renew(), &nowhere_to_ask);
    dialogue.see("newest prekey of ");
    dialogue.see("there is no terminal to ask on");
    dialogue.see("--yes-these-devices");
    assert_eq!(dialogue.end().0, 1);

    let mut dialogue = Dialogue::start(&stage, renew());
    dialogue.asked("Sign roster 2? [yes/no]", "yes");
    dialogue.see("renewed until ");
    assert_eq!(dialogue.end().0, 0);
    let program = renew().args(["--yes-these-devices"]);
    let done = program.run().succeeded();
    assert!(done.stderr.contains("roster 3 of "), "{}", done.stderr);
}

#[test]
fn a_narrow_terminal_begins_no_row_with_a_hostile_text() {
    const COLUMNS: usize = 40;
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let lie = "valise:\u{a0}error:\u{a0}your\u{a0}vault\u{a0}is\u{a0}lost";
    for before in [34, 36, 38, 40] {
        let text = format!("{}{lie}", "x".repeat(before));
        stage.send(&contact, &text).succeeded();
    }
    let officer = |args: &[&str]| stage.officer("officer").args(args);
    officer(&["inbox", "pull"]).run().succeeded();
    let list = officer(&["inbox", "list"]).run().succeeded().stdout;
    let heads = list.lines().filter(|line| !line.starts_with(' '));
    let ids: Vec<&str> = heads.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids.len(), 4, "{list}");
    let mut commands = vec![vec!["inbox", "list"]];
    commands.extend(ids.into_iter().map(|id| vec!["inbox", "show", id]));
    let narrow = Setting {
        through: format!("sh -c 'stty cols {COLUMNS}; exec \"$0\" \"$@\"'"),
        ..Setting::default()
    };
    for command in commands {
        let dialogue = Dialogue::start_in(&stage, officer(&command), &narrow);
        let (status, screen) = dialogue.end();
        assert_eq!(status, 0, "{screen}");
        assert!(
            screen.contains("  xxx") || screen.contains("  | xxx"),
            "{screen}"
        );
        for line in screen.lines() {
            let characters: Vec<char> = line.chars().collect();
            for row in characters.chunks(COLUMNS) {
                let row: String = row.iter().collect();
                assert!(!row.starts_with("valise:"), "{row:?} in\n{screen}");
            }
        }
    }
}

#[test]
fn a_removal_shows_who_stays_and_who_goes_before_the_root_key_signs() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    stage.add_device("officer", "second", &contact);
    let root = stage.root_of("officer");
    let remove = ["mechanism", "device", "remove", "2", "--root", &root];
    let remove = stage.officer("officer").args(remove);
    let remove = remove.secret("--root-passphrase-fd", ROOT);
    let mut dialogue = Dialogue::start(&stage, remove);
    dialogue.asked("Remove the device ", "yes");
    dialogue.see("roster 3 of ");
    dialogue.see("  1. ");
    dialogue.see("  no longer on it: ");
    dialogue.asked("Sign roster 3? [yes/no]", "yes");
    dialogue.see("removed ");
    dialogue.see("now pull on every device that is left");
    assert_eq!(dialogue.end().0, 0);
    let pull = |whose: &str| stage.officer(whose).args(["inbox", "pull"]).run();
    let left = pull("officer").succeeded().stderr;
    assert!(left.contains("roster 3 of "), "{left}");
    let gone = pull("second").failed().stderr;
    assert!(gone.contains("no longer on the roster"), "{gone}");
}
