//! Events of a tenant on a topic that tenants share: each is its publisher's own and says so, in its attribute, its data and its key.

use bytes::Bytes;
use serde_json::Value as Json;

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
        return foreign(field, "is not the tenant of whoever publishes");
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

/// Whether JSON data has the field and it is not the tenant's name. Other data is not looked into.
fn says_another(event: &Event, path: Option<&str>, tenant: &Tenant) -> bool {
    let is_json = |of: &bytestring::ByteString| media(of) == Media::Json;
    let (Some(path), true) = (path, event.content_type().is_some_and(is_json)) else {
        return false;
    };
    let data = event
        .data()
        .bytes()
        .and_then(|bytes| serde_json::from_slice::<Json>(bytes).ok());
    let found = data
        .as_ref()
        .and_then(|data| path.split('.').try_fold(data, |value, name| value.get(name)));
    match found {
        None | Some(Json::Null) => false,
        Some(said) => said.as_str() != Some(tenant.as_str()),
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
            r#"{"meta":{"tenant":null}}"#,
            "no json",
            "[1]",
        ] {
            assert!(with_body(own).is_ok(), "{own}");
        }
        for other in [
            r#"{"meta":{"tenant":"other"}}"#,
            r#"{"meta":{"tenant":["acme"]}}"#,
            r#"{"meta":{"tenant":7}}"#,
        ] {
            assert_eq!(with_body(other).expect_err(other).field, "data.meta.tenant");
        }
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
