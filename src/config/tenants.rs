//! `[tenants]`: whose topics, groups and checkpoints are, and which topics tenants share.

use super::{
    Auth,
    layer::Raw,
    reader::Reader,
    setting::{Setting, Word, quoted, text},
};
use crate::name::{Keys, Pattern, RouteTopic, Shared, Tenancy, Tenant, TenantPattern, TenantWithin};

/// `auth` is who has tenants: where nothing is anybody's, they could do nothing.
pub(super) fn read(reader: &mut Reader, auth: Option<&Auth>) -> Tenancy {
    let tenancy = Tenancy {
        topics: reader.optional("tenants.topics"),
        groups: reader.optional("tenants.groups"),
        checkpoints: reader.optional("tenants.checkpoints"),
        shared: shared(reader),
    };
    let has_tenants = auth.is_some_and(Auth::has_tenants);
    reader.demand(
        "tenants.topics",
        !has_tenants || tenancy.topics.is_some() || !tenancy.shared.is_empty(),
        "or tenants.shared must say what is whose: [auth] has principals of tenants",
    );
    tenancy
}

fn shared(reader: &mut Reader) -> Vec<Shared> {
    let mut all = Vec::new();
    for mut table in reader.take_tables("tenants.shared") {
        let topics = table.require::<Vec<Pattern>>("topics");
        let name = table.require::<String>("attribute");
        let body = table.optional::<String>("body");
        let keys = table.optional("keys").unwrap_or(Keys::Prefixed);
        let fault = name.as_deref().map(extension).and_then(Result::err);
        table.demand("attribute", fault.is_none(), fault.unwrap_or_default());
        let is_some = topics.as_ref().is_none_or(|topics| !topics.is_empty());
        table.demand("topics", is_some, "must not be empty");
        reader.finish_table(table);
        if let (Some(topics), Some(attribute)) = (topics, name) {
            all.push(Shared {
                topics,
                attribute,
                body,
                keys,
            });
        }
    }
    all
}

/// What the specification has a meaning for says something else.
fn extension(name: &str) -> Result<(), String> {
    const TAKEN: [&str; 8] = [
        "id",
        "source",
        "type",
        "specversion",
        "datacontenttype",
        "dataschema",
        "time",
        "data",
    ];
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (1..=20).contains(&name.len()) && name.chars().all(is_letter);
    match TAKEN.contains(&name) {
        true => Err(format!("{name} says something else; it must be an extension")),
        false if !is_name => Err("must be 1 to 20 of a-z 0-9, as names of attributes are".to_owned()),
        false => Ok(()),
    }
}

impl Word for Keys {
    const WORDS: &'static [(&'static str, Self)] = &[("prefixed", Self::Prefixed), ("as-given", Self::AsGiven)];
}

impl Setting for RouteTopic {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::new(text(raw)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for TenantPattern {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::new(text(raw)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for Tenant {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        Self::new(text).ok_or_else(|| format!("must be 1 to 64 of A-Z a-z 0-9 _ -, not {text:?}"))
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for TenantWithin {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::new(text(raw)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}
