//! Filters of requests, compiled; and filters as they are told back.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Fault, Reason, Result},
    filter::{Filter, FilterSpec},
    proto::tidings::v1::{self as wire, filter::Dialect},
};

/// The filter that stands in `field` of a request, or every fault it has; `None` = unset.
pub(in crate::grpc) fn filter(filter: Option<wire::Filter>, field: &str) -> Result<Option<Filter>> {
    let Some(filter) = filter else { return Ok(None) };
    let mut faults = Vec::new();
    let spec = spec(filter, field, &mut faults);
    match Filter::compile(spec, field) {
        Ok(filter) if faults.is_empty() => Ok(Some(filter)),
        Ok(_) => Err(Error::faults(Reason::FilterInvalid, faults)),
        Err(error) => {
            faults.extend_from_slice(error.field_faults());
            Err(Error::faults(Reason::FilterInvalid, faults))
        }
    }
}

/// Recurses as deep as the decoder of messages let them nest. What has no dialect is a fault, and reads as any sound filter
/// so that the rest is checked too.
fn spec(filter: wire::Filter, field: &str, faults: &mut Vec<Fault>) -> FilterSpec {
    let list = |filters: Vec<wire::Filter>, name: &str, faults: &mut Vec<Fault>| -> Vec<FilterSpec> {
        let one = |(index, filter)| spec(filter, &format!("{field}.{name}.filters[{index}]"), faults);
        filters.into_iter().enumerate().map(one).collect()
    };
    match filter.dialect {
        Some(Dialect::Exact(matched)) => FilterSpec::Exact(texts(matched)),
        Some(Dialect::Prefix(matched)) => FilterSpec::Prefix(texts(matched)),
        Some(Dialect::Suffix(matched)) => FilterSpec::Suffix(texts(matched)),
        Some(Dialect::All(all)) => FilterSpec::All(list(all.filters, "all", faults)),
        Some(Dialect::Any(any)) => FilterSpec::Any(list(any.filters, "any", faults)),
        Some(Dialect::Negate(inner)) => FilterSpec::Negate(Box::new(spec(*inner, &format!("{field}.negate"), faults))),
        Some(Dialect::Cesql(text)) => FilterSpec::Cesql(text),
        None => {
            faults.push(Fault::new(
                field,
                "says nothing: it is one of exact, prefix, suffix, all, any, negate and cesql",
            ));
            FilterSpec::Cesql("true".to_owned())
        }
    }
}

fn texts(matched: wire::AttributeMatch) -> BTreeMap<String, String> {
    matched.attributes.into_iter().collect()
}

impl From<&FilterSpec> for wire::Filter {
    fn from(spec: &FilterSpec) -> Self {
        let texts = |texts: &BTreeMap<String, String>| wire::AttributeMatch {
            attributes: texts.clone().into_iter().collect(),
        };
        let list = |filters: &[FilterSpec]| wire::FilterList {
            filters: filters.iter().map(Self::from).collect(),
        };
        let dialect = match spec {
            FilterSpec::Exact(matched) => Dialect::Exact(texts(matched)),
            FilterSpec::Prefix(matched) => Dialect::Prefix(texts(matched)),
            FilterSpec::Suffix(matched) => Dialect::Suffix(texts(matched)),
            FilterSpec::All(filters) => Dialect::All(list(filters)),
            FilterSpec::Any(filters) => Dialect::Any(list(filters)),
            FilterSpec::Negate(inner) => Dialect::Negate(Box::new(Self::from(&**inner))),
            FilterSpec::Cesql(text) => Dialect::Cesql(text.clone()),
        };
        Self { dialect: Some(dialect) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(filters: Vec<wire::Filter>) -> wire::Filter {
        wire::Filter {
            dialect: Some(Dialect::All(wire::FilterList { filters })),
        }
    }

    fn cesql(text: &str) -> wire::Filter {
        wire::Filter {
            dialect: Some(Dialect::Cesql(text.into())),
        }
    }

    #[test]
    fn filters_come_back_as_they_were_told() {
        let attributes = [("id".to_owned(), "1".to_owned())];
        let matched = wire::AttributeMatch {
            attributes: attributes.into(),
        };
        let of = |dialect| wire::Filter { dialect: Some(dialect) };
        let told = all(vec![
            of(Dialect::Exact(matched.clone())),
            of(Dialect::Prefix(matched.clone())),
            of(Dialect::Any(wire::FilterList {
                filters: vec![of(Dialect::Suffix(matched))],
            })),
            of(Dialect::Negate(Box::new(cesql("true")))),
        ]);
        let compiled = filter(Some(told.clone()), "filter").expect("sound").expect("set");
        assert_eq!(wire::Filter::from(compiled.spec()), told);
    }

    #[test]
    fn faults_of_the_message_and_of_its_filters_are_told_together() {
        let told = all(vec![wire::Filter::default(), cesql("("), all(vec![])]);
        let error = filter(Some(told), "open.filter").expect_err("faults");
        let fields: Vec<_> = error.field_faults().iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "open.filter.all.filters[0]",
                "open.filter.all.filters[1].cesql",
                "open.filter.all.filters[2].all.filters"
            ]
        );
        assert_eq!(error.reason(), Reason::FilterInvalid);
        assert_eq!(filter(None, "filter").expect("unset"), None);
    }
}
