//! A submission gets to every device of its mechanism, and a reply back, whatever happens in between.

#![allow(clippy::unwrap_used)]

use valise_client::link::LinkFault;
use valise_client::session::{Accepted, Errand, Poll, run};
use valise_protocol::card::{DeviceKeys, Proof};
use valise_protocol::envelope::{OpenError, open, seal};
use valise_protocol::id::{EnvelopeDigest, MailboxId};
use valise_protocol::limits::{DAY, PREKEY_FRESH};
use valise_protocol::message::{Message, Reply, SubmissionId};
use valise_protocol::wire::{Refusal, Stored, Target};
use valise_tests::cast::{
    Defender, LiveRelay, Mechanism, Officer, deposit, no_withdrawal, poll_inbox, rng,
};

#[tokio::test]
async fn each_of_eight_devices_reads_and_acknowledges_by_itself() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(8, &relay).await;
    let result = Defender::new(mechanism.address)
        .send("a case", &relay, None)
        .await;
    assert_eq!(result.deposit.unwrap().0, Stored::New);
    for device in 0..8 {
        assert_eq!(
            mechanism.texts(device, &relay).await,
            ["a case"],
            "device {device}"
        );
        assert!(
            mechanism.texts(device, &relay).await.is_empty(),
            "what it acknowledged does not come back"
        );
    }
}

#[tokio::test]
async fn what_was_acknowledged_to_a_sender_survives_a_restart() {
    let relay = LiveRelay::on_disk(|_| ()).await;
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("before", &relay, None).await.deposit.unwrap();
    assert_eq!(mechanism.texts(0, &relay).await, ["before"]);
    let relay = relay.restart().await;
    assert!(mechanism.texts(0, &relay).await.is_empty());
    assert_eq!(
        mechanism.texts(1, &relay).await,
        ["before"],
        "a device that was away all the time"
    );
    defender.send("after", &relay, None).await.deposit.unwrap();
    assert_eq!(mechanism.texts(0, &relay).await, ["after"]);
}

#[tokio::test]
async fn sending_again_leaves_one_submission() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    assert_eq!(
        defender
            .send("a case", &relay, None)
            .await
            .deposit
            .unwrap()
            .0,
        Stored::New
    );
    assert_eq!(
        defender
            .send("a case", &relay, None)
            .await
            .deposit
            .unwrap()
            .0,
        Stored::Replaced
    );
    assert_eq!(mechanism.texts(0, &relay).await, ["a case"]);
    assert_eq!(
        defender
            .send("another", &relay, None)
            .await
            .deposit
            .unwrap()
            .0,
        Stored::New
    );
}

#[tokio::test]
async fn the_very_same_envelope_is_stored_once() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(1, &relay).await;
    let readers = mechanism
        .verified(relay.now())
        .readers(relay.now())
        .unwrap();
    let sealed = Defender::new(mechanism.address).seal("x", &readers, 1, &relay.contact());
    let inbox = mechanism.address.inbox();
    for expected in [Stored::New, Stored::Already] {
        let stored = deposit(
            &relay,
            Target::Inbox,
            inbox,
            sealed.withdraw,
            sealed.envelope.clone(),
        )
        .await;
        assert_eq!(stored.unwrap(), expected);
    }
}

#[tokio::test]
async fn unread_mail_leaves_between_the_shortest_and_the_longest_retention() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    for number in 0..30 {
        let text = format!("case {number}");
        let readers = mechanism
            .verified(relay.now())
            .readers(relay.now())
            .unwrap();
        let sealed = defender.seal(&text, &readers, 1, &relay.contact());
        deposit(
            &relay,
            Target::Inbox,
            mechanism.address.inbox(),
            sealed.withdraw,
            sealed.envelope,
        )
        .await
        .unwrap();
    }
    let waiting = async || {
        let item = poll_inbox(
            &relay,
            mechanism.address,
            &mechanism.devices[0].keys.link,
            vec![],
            0,
        )
        .await
        .unwrap();
        u64::from(item.waiting) + u64::from(item.envelope.is_some())
    };
    relay.pass(23 * DAY - 1).await;
    assert_eq!(waiting().await, 30, "nothing leaves early");
    relay.pass(7 * DAY).await;
    let half = waiting().await;
    assert!(
        (1..30).contains(&half),
        "the day is drawn for each: {half} of 30 are left at half-time"
    );
    relay.pass(7 * DAY + DAY).await;
    assert_eq!(waiting().await, 0, "nothing stays longer than promised");
}

#[tokio::test]
async fn a_full_inbox_a_full_return_mailbox_and_an_unknown_inbox_are_told_apart() {
    let relay = LiveRelay::in_memory(|config| {
        config.inbox_envelopes = 2;
        config.return_envelopes = 1;
    })
    .await;
    let mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    let readers = mechanism
        .verified(relay.now())
        .readers(relay.now())
        .unwrap();
    let mut outcomes = Vec::new();
    for text in ["a", "b", "c"] {
        let sealed = defender.seal(text, &readers, 1, &relay.contact());
        let inbox = mechanism.address.inbox();
        outcomes.push(
            deposit(
                &relay,
                Target::Inbox,
                inbox,
                sealed.withdraw,
                sealed.envelope,
            )
            .await,
        );
    }
    assert!(matches!(outcomes[1], Ok(Stored::New)));
    assert!(matches!(
        outcomes[2],
        Err(LinkFault::Refused(Refusal::MailboxFull))
    ));
    let mailbox = MailboxId::from_bytes([7; 32]);
    for (text, full) in [("a", false), ("b", true)] {
        let envelope = defender.seal(text, &readers, 1, &relay.contact()).envelope;
        let outcome = deposit(&relay, Target::Return, mailbox, no_withdrawal(), envelope).await;
        assert_eq!(
            matches!(outcome, Err(LinkFault::Refused(Refusal::MailboxFull))),
            full
        );
    }
    let envelope = defender.seal("x", &readers, 1, &relay.contact()).envelope;
    let outcome = deposit(&relay, Target::Inbox, mailbox, no_withdrawal(), envelope).await;
    assert!(matches!(
        outcome,
        Err(LinkFault::Refused(Refusal::UnknownInbox))
    ));
}

#[tokio::test]
async fn a_removed_device_reads_nothing_that_came_later_and_its_mail_leaves() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mut mechanism = Mechanism::published(3, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("before", &relay, None).await.deposit.unwrap();
    mechanism.texts(0, &relay).await;
    mechanism.texts(1, &relay).await;

    let removed = mechanism.devices.pop().unwrap();
    relay.clock.advance(60);
    mechanism.succeed(relay.now());
    mechanism.rotate(0, relay.now());
    mechanism.rotate(1, relay.now());
    mechanism.publish(&relay).await.unwrap();
    let item = poll_inbox(&relay, mechanism.address, &removed.keys.link, vec![], 0).await;
    assert!(matches!(item, Err(LinkFault::Refused(Refusal::NotADevice))));
    defender.send("after", &relay, None).await.deposit.unwrap();
    let envelopes = mechanism.pull(0, &relay).await.unwrap();
    assert_eq!(
        envelopes.len(),
        1,
        "what only the removed device had not collected is gone"
    );
    let prekeys: Vec<_> = removed.prekeys.iter().collect();
    let result = open(envelopes[0].as_slice(), &mechanism.address, &prekeys);
    assert_eq!(result.unwrap_err(), OpenError::NotOurs);
}

#[tokio::test]
async fn a_device_that_came_later_opens_what_comes_after_it() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mut mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("before", &relay, None).await.deposit.unwrap();
    mechanism.devices.push(Officer {
        keys: DeviceKeys::generate(&mut rng()),
        prekeys: vec![],
        statement: None,
    });
    relay.clock.advance(60);
    mechanism.succeed(relay.now());
    mechanism.rotate(0, relay.now());
    mechanism.rotate(1, relay.now());
    mechanism.publish(&relay).await.unwrap();
    defender.send("after", &relay, None).await.deposit.unwrap();
    assert_eq!(mechanism.texts(1, &relay).await, ["after"]);
    assert_eq!(mechanism.texts(0, &relay).await, ["before", "after"]);
}

#[tokio::test]
async fn mail_sealed_to_an_older_prekey_still_opens_after_the_next_one_is_published() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mut mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender
        .send("to the first prekey", &relay, None)
        .await
        .deposit
        .unwrap();
    relay.clock.advance(7 * DAY);
    mechanism.rotate(0, relay.now());
    mechanism.publish(&relay).await.unwrap();
    defender
        .send("to the second", &relay, None)
        .await
        .deposit
        .unwrap();
    let envelopes = mechanism.pull(0, &relay).await.unwrap();
    let used: Vec<usize> = envelopes
        .iter()
        .map(|e| mechanism.open(0, e.as_slice()).unwrap().prekey)
        .collect();
    assert_eq!(used, [0, 1]);
}

#[tokio::test]
async fn nothing_is_sent_while_too_few_devices_are_fresh() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(2, &relay).await;
    relay.clock.advance(PREKEY_FRESH);
    let defender = Defender::new(mechanism.address);
    let result = defender.send("a case", &relay, None).await;
    let card = result.card.unwrap();
    assert!(card.readers(relay.now()).is_err());
    assert!(result.deposit.is_err());
    assert!(
        mechanism.pull(0, &relay).await.unwrap().is_empty(),
        "the sink took it"
    );

    let contact = relay.contact();
    let errand = Errand {
        address: mechanism.address,
        known: None,
        despite_staleness: Some(Accepted::of(&card, relay.now())),
        deposit: Some(&|readers, epoch| Ok(defender.seal("a case", readers, epoch, &contact))),
        poll: Poll::Nothing,
    };
    run(&contact, errand, relay.now())
        .await
        .unwrap()
        .deposit
        .unwrap();
    assert_eq!(
        mechanism.texts(0, &relay).await,
        ["a case"],
        "after a person accepted the risk"
    );
}

#[tokio::test]
async fn a_reply_comes_back_and_is_gone_when_it_was_deleted() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("a case", &relay, None).await.deposit.unwrap();
    let envelope = mechanism.pull(0, &relay).await.unwrap().remove(0);
    let opened = mechanism.open(0, envelope.as_slice()).unwrap();
    let Message::Submission(submission) = Message::decode(&opened.message).unwrap() else {
        panic!("a submission")
    };
    assert_eq!(opened.writer, defender.keys.send().public());

    let reply = Message::Reply(Reply {
        id: SubmissionId::from_bytes([1; 16]),
        regards: submission.id,
        written: relay.now().hour(),
        proof: Proof::of(&mechanism.card()),
        text: Some("we have read it".into()),
    });
    let identity = &mechanism.devices[0].keys.identity;
    let readers = [submission.reply.prekey.clone()];
    let sealed = seal(
        &readers,
        &mechanism.address,
        identity,
        &reply.encode(),
        &mut rng(),
    )
    .unwrap();
    deposit(
        &relay,
        Target::Return,
        submission.reply.mailbox,
        no_withdrawal(),
        sealed,
    )
    .await
    .unwrap();

    let item = defender.check(vec![], &relay).await.poll.unwrap();
    let envelope = item.envelope.unwrap();
    let opened = open(
        envelope.as_slice(),
        &mechanism.address,
        &[&defender.keys.reply()],
    )
    .unwrap();
    assert_eq!(Message::decode(&opened.message).unwrap(), reply);
    assert_eq!(opened.writer, identity.public());
    let again = defender.check(vec![], &relay).await.poll.unwrap();
    assert!(again.envelope.is_some(), "reading does not delete");
    let digest = EnvelopeDigest::of(envelope.as_slice());
    assert!(
        defender
            .check(vec![digest], &relay)
            .await
            .poll
            .unwrap()
            .envelope
            .is_none()
    );
    assert!(
        defender
            .check(vec![digest], &relay)
            .await
            .poll
            .unwrap()
            .envelope
            .is_none(),
        "deleting twice is no error"
    );
}

#[tokio::test]
async fn a_stranger_removes_nothing_from_anybody() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("a case", &relay, None).await.deposit.unwrap();
    let inbox = poll_inbox(
        &relay,
        mechanism.address,
        &mechanism.devices[0].keys.link,
        vec![],
        0,
    )
    .await
    .unwrap();
    let digest = EnvelopeDigest::of(inbox.envelope.unwrap().as_slice());
    let stranger = Defender::new(mechanism.address);
    assert!(
        stranger
            .check(vec![digest], &relay)
            .await
            .poll
            .unwrap()
            .envelope
            .is_none()
    );
    assert_eq!(mechanism.texts(0, &relay).await, ["a case"]);
}
