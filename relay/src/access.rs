//! Who may read a mailbox (spec §7.3, poll).

use valise_protocol::card::VerifiedCard;
use valise_protocol::hash::sha256;
use valise_protocol::id::MailboxId;
use valise_protocol::key::DhPublic;
use valise_protocol::wire::Refusal;

use crate::store::{DeviceTag, Mailbox, Reader};

/// A mailbox, and who reads it.
pub(crate) struct Access {
    /// Which.
    pub(crate) mailbox: Mailbox,
    me: DeviceTag,
    /// Empty for a return mailbox.
    roster: Vec<DeviceTag>,
}

impl Access {
    /// The holder's own return mailbox: nobody else has the key whose hash its id is.
    pub(crate) fn of_holder(client: &DhPublic, mailbox: MailboxId) -> Result<Self, Refusal> {
        if MailboxId::of_return(client.as_bytes()) != mailbox {
            return Err(Refusal::NotADevice);
        }
        Ok(Self {
            mailbox: Mailbox::Return(mailbox),
            me: tag(client),
            roster: Vec::new(),
        })
    }

    /// A device's inbox, by the card that the relay holds for it.
    pub(crate) fn of_device(
        client: &DhPublic,
        mailbox: MailboxId,
        card: &VerifiedCard,
    ) -> Result<Self, Refusal> {
        if !card.has_link_key(client) {
            return Err(Refusal::NotADevice);
        }
        Ok(Self {
            mailbox: Mailbox::Inbox(mailbox),
            me: tag(client),
            roster: tags(card),
        })
    }

    /// As the store wants it.
    pub(crate) fn reader(&self) -> Reader<'_> {
        match self.mailbox {
            Mailbox::Return(_) => Reader::Holder,
            Mailbox::Inbox(_) => Reader::Device {
                me: self.me,
                roster: &self.roster,
            },
        }
    }
}

/// A device as the store knows it: a hash, so that a seized disk does not name its key.
fn tag(link_key: &DhPublic) -> DeviceTag {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[b"valise1/device-tag", link_key.as_bytes()]);
    DeviceTag([a, b, c, d, e, f, g, h])
}

/// The devices of a card as the store knows them.
pub(crate) fn tags(card: &VerifiedCard) -> Vec<DeviceTag> {
    let devices = card.roster().devices().iter();
    devices.map(|device| tag(&device.link)).collect()
}
