//! The section `[auth]`: how callers show who they are.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Policy, Quota,
    layer::{self, Layer, Raw},
    policies, quotas,
    reader::Reader,
    setting::Setting,
};
use crate::name::{Tenant, TenantWithin};

/// `[auth]`
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// More tables, in a file of their own.
    pub file: Option<PathBuf>,
    /// Names in the certificates of clients say who they are.
    pub certificates: bool,
    /// The names that say of which tenant; `None` = of none.
    pub certificate_tenant: Option<TenantWithin>,
    pub tokens: Vec<Token>,
    pub issuers: Vec<Issuer>,
    pub policies: Vec<Policy>,
    pub quotas: Vec<Quota>,
}

/// One of `[[auth.tokens]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub sha256: [u8; 32],
    pub tenant: Option<Tenant>,
}

/// One of `[[auth.issuers]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    pub name: String,
    pub issuer: String,
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: Keys,
    /// The claim that says who it is.
    pub subject: String,
    /// The claim that says of which tenant, or a path to it; `None` = of none.
    pub tenant: Option<String>,
    pub leeway: Duration,
    pub refresh: Duration,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    File(PathBuf),
    Url { url: String, ca: Option<PathBuf> },
}

/// How an issuer signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const LEEWAY: Duration = Duration::from_secs(30);
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);
const REFRESH: Duration = Duration::from_secs(10 * 60);
const SHORTEST_REFRESH: Duration = Duration::from_secs(10);

impl Auth {
    pub fn has_tenants(&self) -> bool {
        self.certificate_tenant.is_some()
            || self.tokens.iter().any(|token| token.tenant.is_some())
            || self.issuers.iter().any(|issuer| issuer.tenant.is_some())
    }
}

/// `None` = nobody has to say who they are.
pub(super) fn read(reader: &mut Reader, shows_certificates: bool) -> Option<Auth> {
    let certificates: bool = reader.take("auth.certificates");
    let file = reader.optional::<PathBuf>("auth.file");
    reader.demand(
        "auth.certificates",
        !certificates || shows_certificates,
        "needs tls.client_ca",
    );
    let mut auth = Auth {
        certificates,
        certificate_tenant: reader.optional("auth.certificate_tenant"),
        tokens: tokens(reader, "auth.tokens"),
        issuers: issuers(reader, "auth.issuers"),
        policies: policies::read(reader, "auth.policies"),
        quotas: quotas::read(reader, "auth.quotas"),
        file,
    };
    if let Some(path) = auth.file.clone() {
        more(reader, &mut auth, &path);
    }
    check_names(reader, &auth);
    let has_rule = auth.certificate_tenant.is_some();
    reader.demand(
        "auth.certificate_tenant",
        certificates || !has_rule,
        "needs auth.certificates",
    );
    let is_on = auth.certificates || auth.file.is_some() || !auth.tokens.is_empty() || !auth.issuers.is_empty();
    let rule = "need tokens, issuers or certificates: nobody else has to say who they are";
    reader.demand("auth.policies", is_on || auth.policies.is_empty(), rule);
    reader.demand("auth.quotas", is_on || auth.quotas.is_empty(), rule);
    is_on.then_some(auth)
}

/// What lies in a file of its own.
fn more(reader: &mut Reader, auth: &mut Auth, path: &Path) {
    let mut more = match layer::from_file(path) {
        Ok(layer) => Reader::new(Layer::new(), layer),
        Err(mut faults) => return reader.faults.append(&mut faults),
    };
    auth.tokens.append(&mut tokens(&mut more, "tokens"));
    auth.issuers.append(&mut issuers(&mut more, "issuers"));
    auth.policies.append(&mut policies::read(&mut more, "policies"));
    auth.quotas.append(&mut quotas::read(&mut more, "quotas"));
    // It is shown where it lies.
    more.effective.clear();
    reader.finish_table(more);
}

fn tokens(reader: &mut Reader, key: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for mut table in reader.take_tables(key) {
        let name = table.require::<String>("name");
        let sha256 = table.require::<Digest>("sha256");
        let tenant = table.optional("tenant");
        reader.finish_table(table);
        if let (Some(name), Some(Digest(sha256))) = (name, sha256) {
            tokens.push(Token { name, sha256, tenant });
        }
    }
    tokens
}

fn issuers(reader: &mut Reader, key: &str) -> Vec<Issuer> {
    let tables = reader.take_tables(key);
    let mut issuers = Vec::new();
    for mut table in tables {
        issuers.extend(issuer(&mut table));
        reader.finish_table(table);
    }
    issuers
}

fn issuer(table: &mut Reader) -> Option<Issuer> {
    let name = table.require::<String>("name");
    let issuer = table.require("issuer");
    let audience = table.require::<Vec<String>>("audience");
    let algorithms = table.require::<Vec<Algorithm>>("algorithms");
    let keys = keys(table);
    let subject = table.optional("subject").unwrap_or_else(|| "sub".to_owned());
    let tenant = table.optional::<String>("tenant");
    let leeway = table.optional("leeway").unwrap_or(LEEWAY);
    let refresh = table.optional("refresh").unwrap_or(REFRESH);
    let is_word = |name: &String| !name.contains(':') && !["token", "certificate", "tenant"].contains(&name.as_str());
    table.demand(
        "name",
        name.as_ref().is_none_or(is_word),
        "is a word without :, and none of token, certificate, tenant",
    );
    table.demand(
        "audience",
        audience.as_ref().is_none_or(|all| !all.is_empty()),
        "must not be empty",
    );
    table.demand(
        "algorithms",
        algorithms.as_ref().is_none_or(|all| !all.is_empty()),
        "must not be empty",
    );
    table.demand("leeway", leeway <= LONGEST_LEEWAY, "must be at most 5m");
    table.demand("refresh", refresh >= SHORTEST_REFRESH, "must be at least 10s");
    Some(Issuer {
        name: name?,
        issuer: issuer?,
        audience: audience?,
        algorithms: algorithms?,
        keys: keys?,
        subject,
        tenant,
        leeway,
        refresh,
    })
}

fn keys(table: &mut Reader) -> Option<Keys> {
    let (file, ca) = (table.optional("keys_file"), table.optional("keys_ca"));
    let url = table.optional::<String>("keys_url");
    table.demand(
        "keys_url",
        url.as_deref().is_none_or(is_safe),
        "begins with https://, and has no user",
    );
    table.demand("keys_ca", ca.is_none() || url.is_some(), "needs keys_url");
    match (file, url) {
        (Some(file), None) => Some(Keys::File(file)),
        (None, Some(url)) => Some(Keys::Url { url, ca }),
        (Some(_), Some(_)) => {
            table.demand("keys_url", false, "and keys_file are not both set");
            None
        }
        (None, None) => {
            table.demand("keys_url", false, "or keys_file must be set");
            None
        }
    }
}

/// Keys that anybody on the way could exchange are none.
fn is_safe(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    rest.is_some_and(|rest| !rest.is_empty() && !rest.split('/').next().unwrap_or_default().contains('@'))
}

/// A name that two have tells nobody who it is.
fn check_names(reader: &mut Reader, auth: &Auth) {
    let twice = |names: Vec<&str>| {
        let is_twice = |(index, name): &(usize, &&str)| names[..*index].contains(name);
        names
            .iter()
            .enumerate()
            .find(is_twice)
            .map(|(_, name)| (*name).to_owned())
    };
    let names = auth.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    let issuers = auth.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    for (key, found) in [("auth.issuers", twice(names)), ("auth.issuers", twice(issuers))] {
        reader.demand(
            key,
            found.is_none(),
            format!("{} is there twice", found.as_deref().unwrap_or("")),
        );
    }
    let shared =
        |(index, token): (usize, &Token)| auth.tokens[..index].iter().any(|other| other.sha256 == token.sha256);
    let is_shared = auth.tokens.iter().enumerate().any(shared);
    reader.demand("auth.tokens", !is_shared, "two tables have the same sha256");
}

/// A SHA-256 as 64 hexadecimal digits.
struct Digest([u8; 32]);

impl Setting for Digest {
    fn read(raw: &Raw) -> Result<Self, String> {
        let rule = || "must be a SHA-256: 64 hexadecimal digits in quotes".to_owned();
        let text = String::read(raw).map_err(|_| rule())?;
        if text.len() != 64 || !text.is_ascii() {
            return Err(rule());
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| rule())?;
        }
        Ok(Self(digest))
    }

    fn show(&self) -> String {
        "\"(secret)\"".to_owned()
    }
}
