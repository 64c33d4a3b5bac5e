//! The one pass over the JSON. It takes whatever type it finds and remembers it, so that all that is wrong with an event
//! is known at once; it borrows from the body, and allocates only for strings with escapes.
//!
//! Only a text that is not JSON at all fails here. Values that nobody asked for are skipped without recursion, however
//! deeply they nest.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::malformed::Type;

/// Declares an object by its known members: the struct, and how it is filled. Other members are counted.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($member:literal => $field:ident: $slot:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<'a> {
            $(pub $field: $slot,)*
            pub unknown_members: u32,
        }

        impl<'a> Object<'a> for $name<'a> {
            fn from_map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
                let mut object = Self::default();
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        $($member => object.$field.fill(&mut map)?,)*
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            object.unknown_members += 1;
                        }
                    }
                }
                Ok(object)
            }
        }
    };
}

object! {
    /// The event as it was written.
    RawEvent {
        "EventId" => id: Leaf<'a>,
        "OccurredAt" => occurred_at: Leaf<'a>,
        "Source" => source: Leaf<'a>,
        "Action" => action: Leaf<'a>,
        "Offer" => offer: Leaf<'a>,
        "LeadSource" => lead_source: Leaf<'a>,
        "OfferDisplayName" => offer_display_name: Leaf<'a>,
        "PublisherDisplayName" => publisher_display_name: Leaf<'a>,
        "Description" => description: Leaf<'a>,
        "Consent" => consent: Part<RawConsent<'a>>,
        "CustomerInfo" => customer: Part<RawCustomer<'a>>,
    }
}

object! {
    RawConsent {
        "Granted" => granted: Leaf<'a>,
        "At" => at: Leaf<'a>,
        "Agreement" => agreement: Leaf<'a>,
    }
}

object! {
    RawCustomer {
        "FirstName" => first_name: Leaf<'a>,
        "LastName" => last_name: Leaf<'a>,
        "Email" => email: Leaf<'a>,
        "Phone" => phone: Leaf<'a>,
        "Country" => country: Leaf<'a>,
        "Company" => company: Leaf<'a>,
        "Title" => title: Leaf<'a>,
    }
}

object! {
    /// A CloudEvent in structured mode. Its other attributes are extensions, and none of our business.
    RawCloudEvent {
        "specversion" => version: Leaf<'a>,
        "id" => id: Leaf<'a>,
        "time" => time: Leaf<'a>,
        "data" => data: Part<RawEvent<'a>>,
        "data_base64" => data_base64: Leaf<'a>,
    }
}

/// Reads a whole document. Fails only if it is not JSON.
pub fn read<'a, T: Object<'a>>(text: &'a str) -> Result<Part<T>, serde_json::Error> {
    serde_json::from_str(text)
}

/// A member whose value should be a string or a boolean.
#[derive(Debug, Default)]
pub enum Leaf<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Boolean(bool),
    Other(Type),
    Twice,
}

/// A member whose value should be an object.
#[derive(Debug, Default)]
pub enum Part<T> {
    #[default]
    Absent,
    Object(T),
    Other(Type),
    Twice,
}

pub trait Object<'a>: Sized {
    fn from_map<A: MapAccess<'a>>(map: A) -> Result<Self, A::Error>;
}

impl<'a> Leaf<'a> {
    fn fill<A: MapAccess<'a>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value = map.next_value()?;
        *self = if matches!(self, Self::Absent) { value } else { Self::Twice };
        Ok(())
    }
}

impl<'a, T: Object<'a>> Part<T> {
    fn fill<A: MapAccess<'a>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value = map.next_value()?;
        *self = if matches!(self, Self::Absent) { value } else { Self::Twice };
        Ok(())
    }
}

/// A member's name. (serde's own `Cow` does not borrow.)
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(Name)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The visits that end in a type we did not ask for.
macro_rules! other_types {
    ($other:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($other(Type::Null))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($other(Type::Number))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($other(Type::Number))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($other(Type::Number))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other(Type::Array))
        }
    };
}

impl<'de> Deserialize<'de> for Leaf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor)
    }
}

struct LeafVisitor;

impl<'de> Visitor<'de> for LeafVisitor {
    type Value = Leaf<'de>;

    other_types!(Leaf::Other);

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Leaf::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Leaf::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Leaf::Boolean(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other(Type::Object))
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor(PhantomData))
    }
}

struct PartVisitor<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for PartVisitor<T> {
    type Value = Part<T>;

    other_types!(Part::Other);

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Part::Other(Type::String))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Part::Other(Type::Boolean))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::from_map(members).map(Part::Object)
    }
}
