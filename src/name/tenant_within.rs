//! `TenantWithin`: how a name of a certificate, a URI or a host, tells of which tenant it is.

use super::{Tenant, tenant::TENANT};

/// A text in which `{tenant}` stands for a tenant's name; a `*` at its end stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantWithin {
    text: String,
    before: String,
    after: String,
    is_open: bool,
}

impl TenantWithin {
    /// `Err` is the rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        let rule = || format!("must have {TENANT} once, and * only at its end, not {text:?}");
        let (before, rest) = text.split_once(TENANT).ok_or_else(rule)?;
        let after = rest.strip_suffix('*').unwrap_or(rest);
        let has_more = |part: &str| part.contains(['*', '{', '}']);
        // What follows a tenant at once must not look like more of it.
        let is_apart = match after.chars().next() {
            None => rest == after,
            Some(next) => !is_of_a_tenant(next),
        };
        if has_more(before) || has_more(after) || !is_apart {
            return Err(rule());
        }
        Ok(Self {
            text: text.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            is_open: rest.len() > after.len(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn tenant_in(&self, name: &str) -> Option<Tenant> {
        let rest = name.strip_prefix(self.before.as_str())?;
        let end = rest.find(|c| !is_of_a_tenant(c)).unwrap_or(rest.len());
        let behind = rest[end..].strip_prefix(self.after.as_str())?;
        let fits = behind.is_empty() || self.is_open;
        Tenant::new(&rest[..end]).filter(|_| fits)
    }
}

fn is_of_a_tenant(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_of_which_tenant_it_is() {
        for (text, name, tenant) in [
            ("spiffe://shop/{tenant}/*", "spiffe://shop/acme/billing", Some("acme")),
            ("spiffe://shop/{tenant}/*", "spiffe://shop/acme/", Some("acme")),
            ("spiffe://shop/{tenant}/*", "spiffe://shop/acme", None),
            ("spiffe://shop/{tenant}/*", "spiffe://shop//billing", None),
            ("spiffe://shop/{tenant}/*", "spiffe://other/acme/billing", None),
            ("{tenant}.example.com", "acme.example.com", Some("acme")),
            ("{tenant}.example.com", "a.b.example.com", None),
            ("{tenant}.example.com", "acme.example.com.evil.org", None),
            ("tenant-{tenant}", "tenant-acme", Some("acme")),
            ("tenant-{tenant}", "tenant-acme/x", None),
        ] {
            let within = TenantWithin::new(text).expect(text);
            assert_eq!(
                within.tenant_in(name).as_ref().map(Tenant::as_str),
                tenant,
                "{text} {name}"
            );
        }
    }

    #[test]
    fn what_does_not_tell_is_refused() {
        for bad in [
            "",
            "a",
            "{tenant}*",
            "{tenant}a",
            "*{tenant}",
            "{tenant}/{tenant}",
            "{tenant}/*/a",
        ] {
            assert!(TenantWithin::new(bad).is_err(), "{bad}");
        }
    }
}
