//! How long sealing and opening take. `cargo bench -p valise-protocol --bench envelope`

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use valise_protocol::envelope::{open, seal};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, FRAME_PLAIN, HEADER, SLOT, SLOTS};
use valise_protocol::link::{Initiator, Responder, Welcome};
use valise_protocol::prekey::{Prekey, PrekeySecret};

const ROUNDS: usize = 200;

fn main() {
    let rng = &mut UnwrapErr(SysRng);
    let address = Address::from_bytes([1; 32]);
    let writer = DhSecret::generate(rng);
    let devices: Vec<Vec<PrekeySecret>> = (0..8)
        .map(|_| (0..8).map(|_| PrekeySecret::generate(rng)).collect())
        .collect();
    let readers: Vec<Prekey> = devices.iter().map(|live| live[7].public()).collect();
    let message = vec![7; 50_000];

    println!("{:<44} {:>9} {:>9} {:>9}", "", "min ms", "median", "max");
    report("seal to eight devices", || {
        std::hint::black_box(seal(&readers, &address, &writer, &message, rng).unwrap());
    });

    let envelope = last_slot(&devices[0][7], &address, &writer, &message);
    let eight: Vec<&PrekeySecret> = devices[0].iter().collect();
    report("open: the last of 8 slots x 8 live prekeys", || {
        assert_eq!(
            open(envelope.as_slice(), &address, &eight).unwrap().prekey,
            7
        );
    });
    report("open: the last of 8 slots, one live prekey", || {
        open(envelope.as_slice(), &address, &eight[7..]).unwrap();
    });

    let (relay, id) = (DhSecret::generate(rng), RelayId::from_bytes([2; 32]));
    report("link: both ends of the handshake", || {
        let (a, m1) = Initiator::start(&writer, &id, &relay.public(), rng).unwrap();
        let (b, m2) = Responder::answer(&relay, &id, &m1, Welcome { effort: 0 }, rng).unwrap();
        let (_, m3, _) = a.finish(&m2).unwrap();
        b.finish(&m3).unwrap();
    });
    let (a, m1) = Initiator::start(&writer, &id, &relay.public(), rng).unwrap();
    let (b, m2) = Responder::answer(&relay, &id, &m1, Welcome { effort: 0 }, rng).unwrap();
    let (_, m3, mut a) = a.finish(&m2).unwrap();
    let (_, mut b) = b.finish(&m3).unwrap();
    let plain = vec![0; 4 * FRAME_PLAIN];
    report("link: four frames sealed and opened", || {
        b.open(&a.seal(&plain).unwrap()).unwrap();
    });
}

/// An envelope whose one real slot came to be the last: without that slot it does not open.
fn last_slot(
    reader: &PrekeySecret,
    address: &Address,
    writer: &DhSecret,
    message: &[u8],
) -> Box<[u8; ENVELOPE]> {
    loop {
        let envelope = seal(
            &[reader.public()],
            address,
            writer,
            message,
            &mut UnwrapErr(SysRng),
        )
        .unwrap();
        let mut altered = envelope.clone();
        altered[HEADER + (SLOTS - 1) * SLOT] ^= 1;
        if open(altered.as_slice(), address, &[reader]).is_err() {
            return envelope;
        }
    }
}

/// Times `ROUNDS` calls and prints their spread in milliseconds.
fn report(name: &str, mut call: impl FnMut()) {
    call();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            call();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let ms = |at: usize| times[at].as_secs_f64() * 1_000.0;
    println!(
        "{name:<44} {:>9.3} {:>9.3} {:>9.3}",
        ms(0),
        ms(ROUNDS / 2),
        ms(ROUNDS - 1)
    );
}
