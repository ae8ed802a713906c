//! Reads a JSON body field by field and collects everything that is wrong with it, so that one answer names every
//! bad field. Never stops at the first mistake, unless the text is not JSON at all.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::wire::problem::{Code, FieldError, Problem};

/// Most bad fields that one answer names.
const ERRORS_MAX: usize = 50;
/// Most characters of a client's own field name that are given back.
const NAME_CHARS_MAX: usize = 64;

/// A JSON value as it was written: members keep their order, and a member that stands twice is there twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A whole number, also one that was written as `2.0` or `2e0`.
    Whole(i128),
    /// Any other number.
    Fraction,
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Object(Vec<(String, Value)>),
}

/// Up to here a float is the number that was written, and not one near it: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Boolean(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        // `2.0` is a whole number to JSON Schema and to JavaScript; a float without a fraction is written without a point.
        let whole = if number.abs() <= EXACT_MAX { number.to_string().parse().ok() } else { None };
        Ok(whole.map_or(Value::Fraction, Value::Whole))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Value::Object(members))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Parses a body; `allow_empty` takes an empty one for `{}`.
pub fn parse(body: &[u8], allow_empty: bool) -> Result<Value, Problem> {
    if body.is_empty() && allow_empty {
        return Ok(Value::Object(Vec::new()));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        // serde_json ends its message with the place, which is said in other words here.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(
            Code::InvalidRequest,
            format!(
                "Nothing was done: the body is not JSON ({message} at {place}). Correct it and send it again."
            ),
        )
    })?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(Problem::new(
            Code::InvalidRequest,
            "Nothing was done: the body must be a JSON object, {...}.",
        )),
    }
}

/// All that is wrong so far.
#[derive(Debug, Default)]
pub struct Errors(Vec<FieldError>);

impl Errors {
    /// Adds one.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError { field: field.into(), message: message.into() });
        }
    }

    /// The answer that names them all, if there are any.
    pub fn check(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0)) }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The members of one object, taken one by one.
pub struct Fields<'v> {
    members: &'v [(String, Value)],
    taken: Vec<bool>,
    /// What stands before each field's name in an error: `cabins[0].`
    prefix: String,
}

impl<'v> Fields<'v> {
    /// The fields of an object; of anything else, none.
    pub fn of(value: &'v Value) -> Self {
        Self::nested(value, String::new())
    }

    /// The fields of an object that stands in another; `prefix` goes before each name in an error: `cabins[0].`
    pub fn nested(value: &'v Value, prefix: String) -> Self {
        let members = match value {
            Value::Object(members) => members.as_slice(),
            _ => &[],
        };
        Self { members, taken: vec![false; members.len()], prefix }
    }

    /// Whether a field is there; `null` is as good as nothing.
    pub fn has(&self, field: &str) -> bool {
        self.members.iter().any(|(name, value)| name == field && *value != Value::Null)
    }

    /// A field's full name.
    pub fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// Takes a field; `null` counts, a second one of that name is an error.
    pub fn take(&mut self, field: &str, errors: &mut Errors) -> Option<&'v Value> {
        let mut found = None;
        for (place, (name, value)) in self.members.iter().enumerate() {
            if name == field {
                self.taken[place] = true;
                if found.is_some() {
                    errors.add(self.name(field), "must not be given twice");
                }
                found = Some(value);
            }
        }
        found
    }

    /// A field that need not be there; `null` is as good as nothing.
    pub fn optional<T>(
        &mut self,
        field: &str,
        errors: &mut Errors,
        parse: impl FnOnce(&'v Value) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(field, errors) {
            None | Some(Value::Null) => None,
            Some(value) => self.parsed(field, value, errors, parse),
        }
    }

    /// A field that must be there.
    pub fn required<T>(
        &mut self,
        field: &str,
        errors: &mut Errors,
        parse: impl FnOnce(&'v Value) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(field, errors) {
            None | Some(Value::Null) => {
                errors.add(self.name(field), "must be given");
                None
            }
            Some(value) => self.parsed(field, value, errors, parse),
        }
    }

    /// A field that can be set, cleared (`null`) or left as it is.
    pub fn clearable<T>(
        &mut self,
        field: &str,
        errors: &mut Errors,
        parse: impl FnOnce(&'v Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.take(field, errors)? {
            Value::Null => Some(None),
            value => self.parsed(field, value, errors, parse).map(Some),
        }
    }

    /// A field that is an object itself.
    pub fn object(&mut self, field: &str, errors: &mut Errors) -> Option<Fields<'v>> {
        match self.take(field, errors)? {
            Value::Null => None,
            value @ Value::Object(_) => Some(Self::nested(value, format!("{}{field}.", self.prefix))),
            _ => {
                errors.add(self.name(field), "must be an object");
                None
            }
        }
    }

    /// A field that is an object and must be there.
    pub fn required_object(&mut self, field: &str, errors: &mut Errors) -> Option<Fields<'v>> {
        if self.members.iter().all(|(name, value)| name != field || *value == Value::Null) {
            errors.add(self.name(field), "must be given");
        }
        self.object(field, errors)
    }

    /// A field that is a list of objects, at most `max`.
    pub fn objects(&mut self, field: &str, max: usize, errors: &mut Errors) -> Option<Vec<Fields<'v>>> {
        let list = match self.take(field, errors)? {
            Value::Null => return None,
            Value::List(list) if list.len() <= max => list,
            _ => {
                errors.add(self.name(field), format!("must be a list of at most {max} objects"));
                return None;
            }
        };
        let mut fields = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let place = format!("{}{field}[{index}]", self.prefix);
            match value {
                Value::Object(_) => fields.push(Self::nested(value, format!("{place}."))),
                _ => errors.add(place, "must be an object"),
            }
        }
        Some(fields)
    }

    /// Names every field that nobody took.
    pub fn finish(self, errors: &mut Errors) {
        for (taken, (name, _)) in self.taken.iter().zip(self.members) {
            if !taken {
                let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
                errors.add(format!("{}{shown}", self.prefix), "is not known here");
            }
        }
    }

    fn parsed<T>(
        &self,
        field: &str,
        value: &'v Value,
        errors: &mut Errors,
        parse: impl FnOnce(&'v Value) -> Result<T, String>,
    ) -> Option<T> {
        parse(value).map_err(|message| errors.add(self.name(field), message)).ok()
    }
}

/// A string that `check` accepts.
pub fn text<'v, T, E: fmt::Display>(
    check: impl Fn(&'v str) -> Result<T, E>,
) -> impl Fn(&'v Value) -> Result<T, String> {
    move |value| match value {
        Value::Text(text) => check(text).map_err(|error| error.to_string()),
        _ => Err("must be a string".to_owned()),
    }
}

/// A string that is one of a few names.
pub fn one_of<'v, T>(
    names: &'static str,
    find: impl Fn(&'v str) -> Option<T>,
) -> impl Fn(&'v Value) -> Result<T, String> {
    move |value| match value {
        Value::Text(text) => find(text).ok_or_else(|| format!("must be one of {names}")),
        _ => Err(format!("must be one of {names}")),
    }
}

/// A whole number from `min` to `max`.
pub fn whole<T: TryFrom<i128>>(min: i128, max: i128) -> impl Fn(&Value) -> Result<T, String> {
    move |value| match value {
        Value::Whole(number) if (min..=max).contains(number) => {
            T::try_from(*number).map_err(|_| format!("must be a whole number from {min} to {max}"))
        }
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

/// `true` or `false`.
pub fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(yes) => Ok(*yes),
        _ => Err("must be true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors_of(body: &str, read: impl FnOnce(&mut Fields<'_>, &mut Errors)) -> Vec<(String, String)> {
        let value = parse(body.as_bytes(), false).unwrap();
        let mut errors = Errors::default();
        let mut fields = Fields::of(&value);
        read(&mut fields, &mut errors);
        fields.finish(&mut errors);
        errors.0.into_iter().map(|error| (error.field, error.message)).collect()
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let found =
            errors_of(r#"{"n":"x","n":7,"t":1,"o":{"in":0},"l":[{}, 3],"extra":1}"#, |fields, errors| {
                fields.optional("n", errors, whole::<u8>(1, 9));
                fields.required("t", errors, text(Ok::<_, String>));
                fields.required("missing", errors, text(Ok::<_, String>));
                let mut inner = fields.object("o", errors).unwrap();
                inner.required("in", errors, whole::<u8>(1, 9));
                inner.finish(errors);
                fields.objects("l", 9, errors);
            });
        let found: Vec<(&str, &str)> = found.iter().map(|(f, m)| (f.as_str(), m.as_str())).collect();
        assert_eq!(
            found,
            [
                ("n", "must not be given twice"),
                ("t", "must be a string"),
                ("missing", "must be given"),
                ("o.in", "must be a whole number from 1 to 9"),
                ("l[1]", "must be an object"),
                ("extra", "is not known here"),
            ]
        );
    }

    #[test]
    fn what_is_not_json_is_said_with_its_place() {
        for (body, expected) in [
            ("", "line 1, column 0"),
            ("{", "line 1, column 1"),
            ("{\"a\":\n tru}", "line 2"),
            ("{\"a\":\"\\ud800 x\"}", "hex escape"),
            ("[1]", "must be a JSON object"),
            ("7", "must be a JSON object"),
            ("{} x", "trailing characters"),
            ("{\"a\":\"\u{1}\"}", "control character"),
        ] {
            let problem = parse(body.as_bytes(), false).unwrap_err();
            let text = String::from_utf8(problem.render()).unwrap();
            assert!(text.contains(expected), "{body}: {text}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), false).is_err());
        assert!(parse(&[b'"', 0xff, b'"'], false).is_err());
        assert!(parse(b"", true).is_ok());
    }

    #[test]
    fn a_whole_number_has_no_fraction_however_it_is_written() {
        let beyond = parse(br#"{"n":99999999990080080010626075}"#, false).unwrap();
        assert_eq!(beyond, Value::Object(vec![("n".into(), Value::Fraction)]), "not one near it");
        for (body, number) in [("1", 1), ("1.0", 1), ("9.000", 9), ("9e0", 9), ("0.5e1", 5), ("30e-1", 3)] {
            let value = parse(format!("{{\"n\":{body}}}").as_bytes(), false).unwrap();
            let mut errors = Errors::default();
            let read = Fields::of(&value).optional("n", &mut errors, whole::<u8>(1, 9));
            assert_eq!((read, errors.is_empty()), (Some(number), true), "{body}");
        }
        for body in [
            "1.1",
            "1e1",
            "1e-1",
            "1e300",
            "1e400",
            "0.5",
            "0.0",
            "-0.0",
            "9.000001",
            "-1",
            "10",
            "99999999999999999999999",
            "true",
            "\"3\"",
        ] {
            let text = format!("{{\"n\":{body}}}");
            let Ok(value) = parse(text.as_bytes(), false) else { continue };
            let mut errors = Errors::default();
            assert_eq!(Fields::of(&value).optional("n", &mut errors, whole::<u8>(1, 9)), None, "{body}");
            assert!(!errors.is_empty(), "{body}");
        }
    }
}
