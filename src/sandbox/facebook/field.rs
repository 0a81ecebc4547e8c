//! Field: reads `fields=id,attachments{url,target{id}}` and applies it.

use serde_json::Map;
use serde_json::Value;

/// One wanted field, with what is wanted inside it (empty: all of it).
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, without modifiers such as `.limit(0)`.
    pub name: String,
    /// The wanted fields inside.
    pub inner: Vec<Field>,
}

/// Reads a field list.
///
/// # Errors
/// Where the braces don't match.
pub fn parse(text: &str) -> Result<Vec<Field>, String> {
    let mut rest = text;
    let fields = list(&mut rest)?;
    if rest.is_empty() {
        Ok(fields)
    } else {
        Err(format!("Syntax error \"Expected end of string instead of {rest}\""))
    }
}

/// What of `object` the fields ask for.
///
/// # Errors
/// The first name that `object` has not; every object here carries all its fields, `null` for unset ones.
pub fn select(object: &Value, fields: &[Field]) -> Result<Value, String> {
    match object {
        Value::Array(items) => items.iter().map(|item| select(item, fields)).collect(),
        Value::Object(all) if fields.is_empty() => Ok(Value::Object(
            all.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )),
        Value::Object(all) => {
            // A list is wrapped as {"data": […]}, and its fields are those of its items.
            if let (Some(data), 1) = (all.get("data"), all.len()) {
                let mut wrapped = Map::new();
                wrapped.insert("data".to_owned(), select(data, fields)?);
                return Ok(Value::Object(wrapped));
            }
            let mut chosen = Map::new();
            for field in fields {
                let value = all.get(&field.name).ok_or_else(|| field.name.clone())?;
                if !value.is_null() {
                    chosen.insert(field.name.clone(), select(value, &field.inner)?);
                }
            }
            if let Some(id) = all.get("id") {
                chosen.entry("id").or_insert_with(|| id.clone());
            }
            Ok(Value::Object(chosen))
        }
        plain => Ok(plain.clone()),
    }
}

fn list(rest: &mut &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    loop {
        let end = rest.find([',', '{', '}']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        *rest = &rest[end..];
        let mut inner = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside;
            inner = list(rest)?;
            *rest = rest.strip_prefix('}').ok_or("Syntax error \"Expected }\"")?;
        }
        if !name.is_empty() {
            fields.push(Field { name, inner });
        }
        match rest.strip_prefix(',') {
            Some(more) => *rest = more,
            None => return Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_fields_are_chosen() {
        let fields = parse("id,attachments{url,target{id}},shares.summary(true)").unwrap();
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[1].inner[1].inner[0].name, "id");
        let object = json!({"id": "1", "x": 1, "shares": null,
            "attachments": {"data": [{"url": "u", "title": "t", "target": {"id": "9", "url": "v"}}]}});
        assert_eq!(
            select(&object, &fields).unwrap(),
            json!({"id": "1", "attachments": {"data": [{"url": "u", "target": {"id": "9"}}]}})
        );
    }

    #[test]
    fn an_unknown_field_is_named_and_a_lost_brace_told() {
        assert_eq!(select(&json!({"id": "1"}), &parse("colour").unwrap()), Err("colour".to_owned()));
        assert!(parse("a{b").is_err());
        assert!(parse("a}b").is_err());
    }
}
