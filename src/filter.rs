//! `Filter`: which events pass, checked and compiled once, then asked for each event.
//!
//! Six dialects are modelled on the filters of the CloudEvents Subscriptions draft (section 3.2.4.1); `cesql` is the
//! CloudEvents SQL Expression Language 1.0. docs/filters.md is the manual.
//!
//! ```text
//! FilterSpec ──compile──▶ Filter ──passes(&Event)──▶ bool
//! (as told, stored)       (every fault at once)      (total: no panic, bounded time, mostly no allocation)
//! ```
//!
//! An attribute that an event does not have matches nothing; an expression that ends with an error or with anything but
//! `true` does not pass. `negate` turns both into a pass.

mod cesql;
mod compile;
mod matching;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use self::{cesql::Fuel, matching::Test};
use crate::{
    error::{Error, Reason, Result},
    event::Event,
};

/// The longest CESQL expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;
/// All CESQL expressions of one filter together, in bytes.
pub const MAX_EXPRESSIONS_BYTES: usize = 64 * 1024;
/// How deep filters stand in filters.
pub const MAX_DEPTH: usize = 32;
/// Filters and compared attributes in one filter, however they are nested.
pub const MAX_NODES: usize = 1_000;

/// A filter as somebody told it, unchecked: what a group's record keeps, and what filters are compared by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterSpec {
    /// Each named attribute equals the text.
    Exact(BTreeMap<String, String>),
    /// Each named attribute starts with the text.
    Prefix(BTreeMap<String, String>),
    /// Each named attribute ends with the text.
    Suffix(BTreeMap<String, String>),
    All(Vec<FilterSpec>),
    Any(Vec<FilterSpec>),
    Negate(Box<FilterSpec>),
    /// A CESQL expression.
    Cesql(String),
}

/// A filter that is sound. Cheap to clone; equal where it was told the same.
#[derive(Clone)]
pub struct Filter(Arc<Compiled>);

struct Compiled {
    spec: FilterSpec,
    test: Test,
}

impl Filter {
    /// Checks the whole filter, or tells every fault it has. `field` is where it stands in the request, such as `filter`;
    /// a fault's field goes on from there: `filter.all.filters[2].cesql`.
    pub fn compile(spec: FilterSpec, field: &str) -> Result<Self> {
        match compile::compile(&spec, field) {
            Ok(test) => Ok(Self(Arc::new(Compiled { spec, test }))),
            Err(faults) => Err(Error::faults(Reason::FilterInvalid, faults)),
        }
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Event) -> bool {
        self.0.test.passes(event, &mut Fuel::full())
    }

    /// As it was told.
    pub fn spec(&self) -> &FilterSpec {
        &self.0.spec
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.spec == other.0.spec
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.spec.fmt(f)
    }
}
