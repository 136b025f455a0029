//! The keys of a request's header that hold one of two types (spec §7.3).

use minicbor::data::Type;
use minicbor::{Decode, Encode};

use crate::id::EnvelopeDigest;
use crate::limits::REMOVALS;

/// 32 bytes: a name, a hash or a secret.
pub(super) type Bytes32 = [u8; 32];

/// Key 1: 32 bytes, or a number.
pub(super) enum First {
    Bytes(Bytes32),
    Number(u32),
}

/// Key 3: 32 bytes, or a cursor or index.
pub(super) enum Third {
    Bytes(Bytes32),
    Number(u64),
}

/// Key 4: a proof or a grant, or removals.
pub(super) enum Fourth {
    Bytes(Vec<u8>),
    Removals(Removals),
}

/// Encodes and decodes an entry that is one of two types by the CBOR type found.
macro_rules! either {
    ($name:ident, $a:ident($bytes:ty) if $type_a:pat, $b:ident($other:ty)) => {
        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                ctx: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                match self {
                    Self::$a(value) => encode_a(value, e, ctx),
                    Self::$b(value) => value.encode(e, ctx),
                }
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                ctx: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                match d.datatype()? {
                    $type_a => Ok(Self::$a(<$bytes as AsBytes>::read(d)?)),
                    _ => Ok(Self::$b(<$other as Decode<'b, C>>::decode(d, ctx)?)),
                }
            }
        }
    };
}

/// What is a byte string on the wire.
trait AsBytes: Sized {
    fn write(&self) -> &[u8];
    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error>;
}

fn encode_a<T: AsBytes, C, W: minicbor::encode::Write>(
    value: &T,
    e: &mut minicbor::Encoder<W>,
    _: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.bytes(value.write())?.ok()
}

impl AsBytes for Bytes32 {
    fn write(&self) -> &[u8] {
        self
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("length"))
    }
}

/// A proof of work: at most 256 bytes.
impl AsBytes for Vec<u8> {
    fn write(&self) -> &[u8] {
        self
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() > 256 {
            Err(minicbor::decode::Error::message("length"))
        } else {
            Ok(bytes.to_vec())
        }
    }
}

/// At most [`REMOVALS`] digests; the count is checked before anything is allocated.
pub(super) struct Removals(pub(super) Vec<EnvelopeDigest>);

impl<C> Encode<C> for Removals {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Removals {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let count = d.array()?.filter(|count| *count <= REMOVALS as u64);
        let count = count.ok_or_else(|| minicbor::decode::Error::message("count"))?;
        (0..count)
            .map(|_| EnvelopeDigest::decode(d, ctx))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

either!(First, Bytes(Bytes32) if Type::Bytes, Number(u32));
either!(Third, Bytes(Bytes32) if Type::Bytes, Number(u64));
either!(Fourth, Bytes(Vec<u8>) if Type::Bytes, Removals(Removals));
