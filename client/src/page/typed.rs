//! Words as they are typed, key by key.

use zeroize::Zeroizing;

/// The longest word that is taken in, in characters: the longest on the list has eight.
const WORD: usize = 24;
/// The most words that are taken in: enough to tell that they are too many.
const WORDS: usize = 16;

/// The words that were typed, as they were.
pub type Words = Vec<Zeroizing<String>>;

/// A key that means something on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Belongs to a word.
    Letter(char),
    /// Ends a word.
    Space,
    /// Ends a word, and the answer if there are enough.
    Enter,
    /// Takes back a letter, or the end of a word.
    Back,
    /// Takes back everything.
    Clear,
}

/// What a key changed, for whoever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that is seen.
    Nothing,
    /// One more letter.
    Letter(char),
    /// The last letter is gone.
    TakenBack,
    /// The next word may begin.
    NextWord,
    /// Something that is easier shown from the beginning.
    Anew,
}

/// The words as far as they were typed.
#[derive(Default)]
pub struct Typed {
    words: Words,
    /// Whether a letter would belong to the last of them.
    open: bool,
}

impl Typed {
    /// The words so far; the last may not be complete.
    pub fn words(&self) -> &[Zeroizing<String>] {
        &self.words
    }

    /// All of them.
    pub fn done(self) -> Words {
        self.words
    }

    /// Whether a further word is awaited, of so many that are wanted.
    pub const fn awaits_next(&self, wanted: usize) -> bool {
        !self.open && self.words.len() < wanted
    }

    /// Takes in a key; so many words are wanted.
    pub fn take(&mut self, key: Key, wanted: usize) -> Change {
        match key {
            Key::Letter(letter) => self.write(letter, wanted),
            Key::Space | Key::Enter => {
                let ends = std::mem::take(&mut self.open);
                if ends && self.awaits_next(wanted) {
                    Change::NextWord
                } else {
                    Change::Nothing
                }
            }
            Key::Back => self.take_back(),
            Key::Clear => {
                *self = Self::default();
                Change::Anew
            }
        }
    }

    fn write(&mut self, letter: char, wanted: usize) -> Change {
        let begins = !self.open;
        if begins && self.words.len() < WORDS {
            self.words.push(Zeroizing::new(String::new()));
            self.open = true;
        }
        let one_too_many = begins && self.words.len() > wanted;
        match self.words.last_mut() {
            Some(word) if self.open && word.chars().count() < WORD => word.push(letter),
            _ => return Change::Nothing,
        }
        if one_too_many {
            Change::Anew
        } else {
            Change::Letter(letter)
        }
    }

    fn take_back(&mut self) -> Change {
        let Some(word) = self.words.last_mut() else {
            return Change::Nothing;
        };
        if !self.open {
            self.open = true;
            return Change::Anew;
        }
        let letter = word.pop();
        if word.is_empty() {
            self.words.pop();
            self.open = false;
            return Change::Anew;
        }
        // Another character may take more than one column.
        if letter.is_some_and(|letter| letter.is_ascii()) {
            Change::TakenBack
        } else {
            Change::Anew
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is typed, `<` for Backspace and `^` for Ctrl-U; gives the words and the last change.
    fn typed(keys: &str, wanted: usize) -> (Vec<String>, Change) {
        let mut typed = Typed::default();
        let mut last = Change::Nothing;
        for key in keys.chars() {
            let key = match key {
                '<' => Key::Back,
                '^' => Key::Clear,
                ' ' => Key::Space,
                '\n' => Key::Enter,
                letter => Key::Letter(letter),
            };
            last = typed.take(key, wanted);
        }
        let words = typed.done().into_iter().map(|word| word.to_string());
        (words.collect(), last)
    }

    #[test]
    fn any_run_of_spaces_and_line_ends_separates_words() {
        let (words, _) = typed("  one \n\n two\n three  ", 3);
        assert_eq!(words, ["one", "two", "three"]);
    }

    #[test]
    fn a_letter_and_the_end_of_a_word_are_taken_back() {
        assert_eq!(typed("onr<e", 2).0, ["one"]);
        assert_eq!(typed("one <<<<two", 2).0, ["two"]);
        assert_eq!(typed("one tw<<<<< x", 3).0, ["o", "x"]);
        assert_eq!(typed("<<", 1), (vec![], Change::Nothing));
    }

    #[test]
    fn what_was_typed_can_be_begun_again() {
        assert_eq!(typed("one two^three", 2).0, ["three"]);
    }

    #[test]
    fn a_next_word_is_announced_only_while_one_is_wanted() {
        assert_eq!(typed("one ", 2).1, Change::NextWord);
        assert_eq!(typed("one  ", 2).1, Change::Nothing);
        assert_eq!(typed("one two ", 2).1, Change::Nothing);
        assert_eq!(typed("one two t", 2).1, Change::Anew);
    }

    #[test]
    fn what_is_too_long_or_too_much_is_not_taken_in() {
        assert_eq!(typed(&"x".repeat(100), 1).0[0].len(), WORD);
        assert_eq!(typed(&"x ".repeat(100), 12).0.len(), WORDS);
    }
}
