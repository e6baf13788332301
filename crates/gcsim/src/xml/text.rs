//! Writing XML and reading the one document that clients send.
//!
//! Promise: whatever stands in a name is escaped. Deliberately no XML reader: `CompleteMultipartUpload` is flat.

use crate::refusal::Refusal;

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}

pub(crate) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

fn within<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

/// The parts that a `CompleteMultipartUpload` names, with their MD5.
///
/// # Errors
/// 400: it is no such document, or a part's ETag is no MD5.
pub(crate) fn parts(body: &[u8]) -> Result<Vec<(u32, [u8; 16])>, Refusal> {
    let wrong = || Refusal::new(400, "MalformedXML", "invalid", "The XML you provided was not well-formed.");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let inner = within(text, "CompleteMultipartUpload").ok_or_else(wrong)?;
    let parts = inner.split("</Part>").filter(|part| part.contains("<Part>"));
    parts
        .map(|part| {
            let number = within(part, "PartNumber").and_then(|number| number.trim().parse().ok());
            let etag = within(part, "ETag").map(unescaped).ok_or_else(wrong)?;
            Ok((number.ok_or_else(wrong)?, md5_of(&etag).unwrap_or_default()))
        })
        .collect()
}

/// The MD5 that an ETag is; what is none matches no part.
fn md5_of(etag: &str) -> Option<[u8; 16]> {
    let digits = etag.trim().trim_matches('"');
    let bytes: Option<Vec<u8>> =
        (0..16).map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    bytes.filter(|_| digits.len() == 32)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_completion_are_read_and_nonsense_is_refused() {
        let md5 = "000102030405060708090a0b0c0d0e0f";
        let body = format!(
            "<CompleteMultipartUpload><Part><ETag>\"{md5}\"</ETag><PartNumber>1</PartNumber></Part>\
             <Part><PartNumber>3</PartNumber><ETag>&quot;{md5}&quot;</ETag></Part></CompleteMultipartUpload>"
        );
        let expected: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(parts(body.as_bytes()).unwrap(), [(1, expected), (3, expected)]);
        assert!(parts(b"<Part/>").is_err());
        assert!(parts(&[0xff]).is_err());
        assert_eq!(md5_of("\"00\""), None);
    }
}
