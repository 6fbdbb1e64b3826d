//! Events of a tenant on a topic that tenants share: each is its publisher's own and says so, in its attribute, its data and its key.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    bus::lens::prefix,
    convention::Happening,
    error::{Error, Reason},
    event::{
        Event, Value,
        media::{Media, media},
    },
    name::{Keys, Shared, Tenant},
};

/// What a publisher may not say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Where it says so.
    field: String,
    rule: &'static str,
}

impl Foreign {
    /// Says nothing of whom else there is.
    pub(super) fn error(&self, index: usize) -> Error {
        let text = format!("publish: events[{index}].{} {}", self.field, self.rule);
        Error::new(Reason::PermissionDenied, text)
    }
}

/// The event as the tenant's own. Where it says another's name, it is refused.
pub(super) fn claim(event: &Event, shared: &Shared, tenant: &Tenant) -> Result<Event, Foreign> {
    let foreign = |field: String, rule| Err(Foreign { field, rule });
    if Happening::of(event.ty()) == Happening::DeletedAll {
        return foreign(
            "type".to_owned(),
            "would delete what all tenants have on a topic that they share",
        );
    }
    if says_another(event, shared.body.as_deref(), tenant) {
        let field = format!("data.{}", shared.body.as_deref().unwrap_or_default());
        return foreign(field, "is not, or is not for sure, the tenant of whoever publishes");
    }
    let said = event.text_of(&shared.attribute);
    if said.as_ref().is_some_and(|said| said != tenant.as_str()) {
        return foreign(
            format!("attributes.{}", shared.attribute),
            "is not the tenant of whoever publishes",
        );
    }
    let is_said = said.is_some();
    let mut own = event.clone();
    if !is_said {
        let value = Value::String(tenant.as_str().into());
        own.attributes.push((shared.attribute.as_str().into(), value));
    }
    Ok(own)
}

/// A key as the tenant's own.
pub(super) fn own_key(key: Bytes, shared: &Shared, tenant: &Tenant) -> Bytes {
    let mut own = prefix(tenant);
    if shared.keys == Keys::AsGiven || key.starts_with(&own) {
        return key;
    }
    own.extend_from_slice(&key);
    own.into()
}

/// Whether JSON data may be read as another's: the field is there and is not the tenant's name, or nobody can be sure. Other data is not
/// looked into.
fn says_another(event: &Event, path: Option<&str>, tenant: &Tenant) -> bool {
    let is_json = |of: &bytestring::ByteString| media(of) == Media::Json;
    let (Some(path), true) = (path, event.content_type().is_some_and(is_json)) else {
        return false;
    };
    let Some(data) = event.data().bytes() else { return false };
    let mut json = serde_json::Deserializer::from_slice(data);
    let said = Said { path, tenant }.deserialize(&mut json).and_then(|()| json.end());
    said.is_err()
}

/// Reads a value of which the field at this path, if it is there, is the tenant's name, and is there once; else it fails.
#[derive(Clone, Copy)]
struct Said<'a> {
    path: &'a str,
    tenant: &'a Tenant,
}

impl<'de> DeserializeSeed<'de> for Said<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path {
            "" => match Option::<Cow<'de, str>>::deserialize(deserializer)? {
                Some(said) if said != self.tenant.as_str() => Err(D::Error::custom("another's")),
                _ => Ok(()),
            },
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Said<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (name, path) = self.path.split_once('.').unwrap_or((self.path, ""));
        let mut is_there = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != name {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut is_there, true) {
                return Err(A::Error::custom("there twice"));
            }
            map.next_value_seed(Said { path, ..self })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::tests::{string, with},
        name::Pattern,
    };

    fn shared(keys: Keys) -> Shared {
        Shared {
            topics: vec![Pattern::new("**").expect("valid")],
            attribute: "tenantid".to_owned(),
            body: Some("meta.tenant".to_owned()),
            keys,
        }
    }

    fn acme() -> Tenant {
        Tenant::new("acme").expect("valid")
    }

    fn claimed(attributes: &[(&str, Value)]) -> Result<Event, Foreign> {
        claim(
            &with(attributes).check().expect("valid"),
            &shared(Keys::Prefixed),
            &acme(),
        )
    }

    fn with_body(text: &'static str) -> Result<Event, Foreign> {
        let mut draft = with(&[("datacontenttype", string("application/json"))]);
        draft.data = crate::event::Data::Binary(Bytes::from_static(text.as_bytes()));
        claim(&draft.check().expect("valid"), &shared(Keys::Prefixed), &acme())
    }

    #[test]
    fn the_attribute_is_set_or_checked() {
        let own = |event: Event| event.text_of("tenantid").map(std::borrow::Cow::into_owned);
        assert_eq!(own(claimed(&[]).expect("its own")), Some("acme".to_owned()));
        assert_eq!(
            own(claimed(&[("tenantid", string("acme"))]).expect("its own")),
            Some("acme".to_owned())
        );
        for other in ["other", "", "Acme", "acme "] {
            let foreign = claimed(&[("tenantid", string(other))]).expect_err("another's");
            assert_eq!(foreign.field, "attributes.tenantid");
        }
    }

    #[test]
    fn data_that_says_another_is_refused() {
        for own in [
            "{}",
            r#"{"meta":{"tenant":"acme"}}"#,
            r#"{"meta":{"tenant":null,"x":[{"tenant":"beta"}]},"tenant":"beta"}"#,
            r#"{"meta":7}"#,
            "[1]",
            "7.5",
            "true",
        ] {
            assert!(with_body(own).is_ok(), "{own}");
        }
        for other in [
            r#"{"meta":{"tenant":"other"}}"#,
            r#"{"meta":{"tenant":["acme"]}}"#,
            r#"{"meta":{"tenant":7}}"#,
            r#"{"meta":{"tenant":"other","tenant":"acme"}}"#,
            r#"{"meta":{"tenant":"acme"},"meta":{"tenant":"other"}}"#,
            r#"{"meta":{"ten\u0061nt":"other"}}"#,
            "no json",
            "{} {}",
            "",
        ] {
            assert_eq!(with_body(other).expect_err(other).field, "data.meta.tenant");
        }
        // However deep other things are.
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let with_deep =
            |tenant: &str| -> &'static str { format!(r#"{{"x":{deep},"meta":{{"tenant":"{tenant}"}}}}"#).leak() };
        assert!(with_body(with_deep("acme")).is_ok() && with_body(with_deep("other")).is_err());
    }

    #[test]
    fn nobody_deletes_what_all_have() {
        let mut draft = with(&[]);
        draft.ty = "io.shop.orders.deletedAll".into();
        let foreign = claim(&draft.check().expect("valid"), &shared(Keys::Prefixed), &acme()).expect_err("of all");
        assert_eq!(foreign.field, "type");
    }

    #[test]
    fn keys_begin_with_their_tenant_once() {
        let key = |text: &'static str, keys| own_key(Bytes::from_static(text.as_bytes()), &shared(keys), &acme());
        assert_eq!(key("7", Keys::Prefixed), "acme/7");
        assert_eq!(key("acme/7", Keys::Prefixed), "acme/7");
        assert_eq!(key("other/7", Keys::Prefixed), "acme/other/7");
        assert_eq!(key("7", Keys::AsGiven), "7");
    }
}
