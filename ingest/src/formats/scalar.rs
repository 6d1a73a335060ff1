//! One value of a message, of whatever type was sent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Any JSON or CBOR value. Reading one fails on bad syntax only, never on the type, so that a
/// wrong type spoils its reading and not the whole message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    #[default]
    Null,
    Flag(bool),
    /// Kept apart from [`Scalar::Number`]: sequence numbers use all 64 bits.
    Whole(u64),
    Number(f64),
    Text(Cow<'a, str>),
    /// An array, a map or bytes: no field has such a value.
    Composite,
}

impl Scalar<'_> {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(whole) => Some(*whole as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// As a person wants it quoted: long texts are cut.
impl fmt::Display for Scalar<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 40;
        match self {
            Self::Null => out.write_str("null"),
            Self::Flag(flag) => write!(out, "{flag}"),
            Self::Whole(whole) => write!(out, "{whole}"),
            Self::Number(number) => write!(out, "{number:?}"),
            Self::Text(text) if text.chars().nth(LONGEST).is_some() => {
                write!(out, "{:?}…", text.chars().take(LONGEST).collect::<String>())
            }
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Composite => out.write_str("an array, object or byte string"),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(whole))
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(whole).map_or(Scalar::Number(whole as f64), Scalar::Whole))
    }

    fn visit_u128<E>(self, whole: u128) -> Result<Self::Value, E> {
        Ok(u64::try_from(whole).map_or(Scalar::Number(whole as f64), Scalar::Whole))
    }

    fn visit_i128<E>(self, whole: i128) -> Result<Self::Value, E> {
        Ok(u64::try_from(whole).map_or(Scalar::Number(whole as f64), Scalar::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Scalar::Composite)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Composite)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Composite)
    }

    /// A CBOR tag. The value says all we need: a time is a text or a number with tag or without.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Self::Value, A::Error> {
        let (IgnoredAny, value) = tagged.variant()?;
        value.newtype_variant()
    }
}
