//! Reading objects as objects only, and words as words: of an array, what is derived would take its
//! elements for fields, by their places; of `{"pure": null}` or 0 it would take a name for a word.
//!
//! A deserializer around another one. All that it changes is what becomes of an array where an object
//! is expected, and of anything but a text where a word is; the rest is passed on, wrapped again, so that
//! it holds at every depth. What serde keeps aside before it reads it, to know by a field how the others
//! are to be read, it cannot see into: such a field is read with [`objects`].

use std::{cell::Cell, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

/// Reads a field whose struct or enum is read from what was kept aside: one with `flatten`, `tag` or
/// `untagged`. For `deserialize_with`.
///
/// # Errors
///
/// When it is no `T`, or one by another form than its own.
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<T, D::Error> {
    T::deserialize(Objects(field))
}

/// What is around a part of the reader.
///
/// ```
/// use protocol::{json::Objects, plan::RetryPolicy};
/// use serde::Deserialize;
///
/// let retry = serde_json::json!([3, "1s"]);
/// assert!(RetryPolicy::deserialize(Objects(&retry)).is_err());
/// ```
#[derive(Debug)]
pub struct Objects<T>(pub T);

/// Around a visitor.
struct Seen<V> {
    visitor: V,
    wanted: Wanted,
}

/// What is expected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Object,
    /// A name: of a field, or of a variant in the field that tells which one it is.
    Name,
}

const fn any<V>(visitor: V) -> Seen<V> {
    let wanted = Wanted::Any;
    Seen { visitor, wanted }
}

const fn object<V>(visitor: V) -> Seen<V> {
    let wanted = Wanted::Object;
    Seen { visitor, wanted }
}

const fn name<V>(visitor: V) -> Seen<V> {
    let wanted = Wanted::Name;
    Seen { visitor, wanted }
}

macro_rules! pass {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(any(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    pass! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_ignored_any
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_identifier(name(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, any(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, any(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, any(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, length, any(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, object(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let form = &Cell::new(Form::Any);
        let read = self
            .0
            .deserialize_enum(name, variants, Word { visitor, form })?;
        match form.get() {
            Form::Any => Ok(read),
            // Said here, the path to it does not lead into what should not be there.
            Form::Object => Err(D::Error::invalid_type(Unexpected::Map, &"enum ")),
        }
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! hand_on {
    ($($method:ident($given:ty))*) => {
        $(fn $method<E: Error>(self, it: $given) -> Result<V::Value, E> {
            self.visitor.$method(it)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seen<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    hand_on! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u128(u128) visit_f32(f32)
        visit_f64(f64) visit_char(char) visit_str(&str) visit_borrowed_str(&'de str)
        visit_string(String) visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Name => Err(E::invalid_type(Unexpected::Unsigned(number), &self.visitor)),
            Wanted::Any | Wanted::Object => self.visitor.visit_u64(number),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Objects(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        match self.wanted {
            Wanted::Object => Err(A::Error::invalid_type(Unexpected::Seq, &self.visitor)),
            Wanted::Any | Wanted::Name => self.visitor.visit_seq(Objects(elements)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Objects(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, one: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(one)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        // A name is a text.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// Around what reads an enum, and what it is read by: tells in which form a variant without anything to
/// it was given.
struct Word<'a, T> {
    visitor: T,
    form: &'a Cell<Form>,
}

/// How a variant that has nothing to it was given.
#[derive(Clone, Copy)]
enum Form {
    /// As its name, or it is another variant.
    Any,
    /// As an object with its name.
    Object,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Word<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, one: A) -> Result<V::Value, A::Error> {
        let (visitor, form) = (one, self.form);
        self.visitor.visit_enum(Word { visitor, form })
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Word<'a, A> {
    type Error = A::Error;
    type Variant = Word<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, visitor) = self.visitor.variant_seed(seed)?;
        let form = self.form;
        Ok((name, Word { visitor, form }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Word<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        // A name alone has no value.
        if self.visitor.newtype_variant::<IgnoredAny>().is_ok() {
            self.form.set(Form::Object);
        }
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.visitor.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.visitor.tuple_variant(length, any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.visitor.struct_variant(fields, object(visitor))
    }
}
