//! Takes the files of Swagger UI out of the archive that `utoipa-swagger-ui-vendored` carries, each as it is packed
//! there: nothing is packed anew. Never fetches anything, and takes no file that `/docs` does not show.

use std::error::Error;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::{env, fs};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::{CompressionMethod, ZipArchive};

/// What is taken, and how it is packed; `src/**/docs_pages.rs` relies on both.
const FILES: [(&str, CompressionMethod); 3] = [
    ("swagger-ui.css", CompressionMethod::DEFLATE),
    ("swagger-ui-bundle.js", CompressionMethod::DEFLATE),
    ("favicon-32x32.png", CompressionMethod::STORE),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo says no OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let mut taken = 0;
    for index in 0..archive.len() {
        let mut packed = archive.by_index_raw(index)?;
        let path = packed.name()?.into_owned();
        // Below one folder with the version in its name.
        let Some(name) = path.split_once('/').and_then(|(_, below)| below.strip_prefix("dist/")) else {
            continue;
        };
        let Some((_, method)) = FILES.iter().find(|(wanted, _)| *wanted == name) else { continue };
        if packed.compression() != *method {
            return Err(format!("{path} is packed by {}, not by {method}", packed.compression()).into());
        }
        let mut bytes = Vec::new();
        packed.read_to_end(&mut bytes)?;
        fs::write(out.join(name), bytes)?;
        taken += 1;
    }
    if taken != FILES.len() {
        return Err(format!("{taken} of {} files are in the archive of Swagger UI", FILES.len()).into());
    }
    Ok(())
}
