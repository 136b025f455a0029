//! One libFuzzer target for every decoder: the decoder's name is the environment variable `DECODER`.
#![no_main]

mod decoders;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<String> = LazyLock::new(|| {
    let name = std::env::var("DECODER").unwrap_or_default();
    assert!(decoders::NAMES.contains(&name.as_str()), "set DECODER to one of {:?}", decoders::NAMES);
    name
});

fuzz_target!(|bytes: &[u8]| decoders::run(&DECODER, bytes));
