//! What holds for every line of every transcript.

use valise_tests::transcript::directory;

/// Every command in every transcript with its output.
fn commands() -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let mut commands = Vec::new();
    for text in texts {
        for part in format!("\n{text}").split("\n$ ").skip(1) {
            let (command, said) = part.split_once('\n').unwrap();
            commands.push((command.to_owned(), said.to_owned()));
        }
    }
    commands
}

#[test]
fn every_failure_says_one_error_in_lower_case_without_a_full_stop() {
    let mut failures = 0;
    for (command, said) in commands() {
        if !said.contains("[exit status") && !said.contains("(it failed)") {
            assert!(!said.contains(": error: "), "{command}\n{said}");
            continue;
        }
        if said.contains("Usage: ") {
            continue;
        }
        failures += 1;
        let program = command.split(' ').next().unwrap();
        let begins = format!("{program}: error: ");
        let errors: Vec<&str> = said.split(&begins).skip(1).collect();
        assert_eq!(errors.len(), 1, "{command}\n{said}");
        let error = errors[0]
            .lines()
            .scan(true, |first, line| {
                let goes_on = *first || line.starts_with("  ");
                *first = false;
                goes_on.then_some(line)
            })
            .collect::<Vec<_>>()
            .join(" ");
        let lower = !error.starts_with(|c: char| c.is_uppercase());
        assert!(lower && !error.ends_with('.'), "{command}\n{error}");
        assert!(!error.contains("os error"), "{command}\n{error}");
    }
    assert!(failures > 40, "{failures}");
}

#[test]
fn every_failure_but_those_that_say_it_themselves_has_a_hint() {
    for (command, said) in commands() {
        if said.contains(": error: ") && !said.contains(": expected ") {
            assert!(said.contains(": hint: "), "{command}\n{said}");
        }
    }
}

#[test]
fn every_line_has_at_most_80_columns() {
    for (command, said) in commands() {
        for line in said.lines().filter(|line| !line.contains("1…")) {
            assert!(line.chars().count() <= 80, "{command}\n{line}");
        }
    }
}
