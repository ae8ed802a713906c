//! Short ways to write JSON schemas, so that the files beside this one read as tables.
//! Never knows what is described.

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType,
    Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};

/// A schema, or a reference to one that has a name.
pub(super) type Shape = RefOr<Schema>;

/// Whether a member is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It is.
    Must,
    /// It may be missing.
    May,
}

pub(super) use Need::{May, Must};

/// One member of an object: its name, whether it is always there, what it is, what it means.
pub(super) type Member = (&'static str, Need, Shape, &'static str);

/// A schema with a name of its own.
pub(super) fn named(name: &str) -> Shape {
    Ref::from_schema_name(name).into()
}

/// A string.
pub(super) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A string of so many characters that matches a pattern.
pub(super) fn text(chars_min: usize, chars_max: usize, pattern: &str) -> ObjectBuilder {
    string().min_length(Some(chars_min)).max_length(Some(chars_max)).pattern(Some(pattern))
}

/// A string that is one of these.
pub(super) fn one_of_words<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    string().enum_values(Some(words))
}

/// A moment, as this server writes it.
pub(super) fn moment() -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A whole number from `min` to `max`.
pub(super) fn whole(min: i64, max: i64) -> ObjectBuilder {
    count().minimum(Some(min)).maximum(Some(max))
}

/// A whole number that is not negative.
pub(super) fn count() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
}

/// True or false.
pub(super) fn boolean() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

/// Only `null`.
pub(super) fn nothing() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Null)
}

/// A list.
pub(super) fn list(items: impl Into<Shape>) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into())
}

/// The same, or `null`.
pub(super) fn or_null(shape: impl Into<Shape>) -> Shape {
    let with_null = |schema_type: SchemaType| match schema_type {
        SchemaType::Type(one) => SchemaType::Array(vec![one, Type::Null]),
        other => other,
    };
    match shape.into() {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = with_null(object.schema_type);
            if let Some(values) = &mut object.enum_values {
                values.push(Value::Null); // an enum holds for null as well
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        other => RefOr::T(OneOfBuilder::new().item(other).item(nothing()).into()),
    }
}

/// An object with these members; an answer's may get more of them in later versions.
pub(super) fn object(description: &str, members: Vec<Member>) -> ObjectBuilder {
    let mut built = ObjectBuilder::new().schema_type(Type::Object);
    if !description.is_empty() {
        built = built.description(Some(description));
    }
    for (name, need, shape, meaning) in members {
        built = built.property(name, described(shape, meaning));
        if need == Must {
            built = built.required(name);
        }
    }
    built
}

/// An object that is refused if it has any other member.
pub(super) fn strict(description: &str, members: Vec<Member>) -> ObjectBuilder {
    object(description, members).additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn described(mut shape: Shape, meaning: &str) -> Shape {
    if meaning.is_empty() {
        return shape;
    }
    match &mut shape {
        RefOr::T(Schema::Object(object)) => object.description = Some(meaning.to_owned()),
        RefOr::T(Schema::Array(array)) => array.description = Some(meaning.to_owned()),
        RefOr::T(Schema::OneOf(one_of)) => one_of.description = Some(meaning.to_owned()),
        RefOr::Ref(reference) => meaning.clone_into(&mut reference.description),
        RefOr::T(_) => {}
    }
    shape
}
