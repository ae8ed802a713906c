//! The words of the pages: the same in three languages, and none missing. Never judges how they sound.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::{Browser, Look};
use crate::stage::Stage;

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
const LANGUAGES: [&str; 3] = ["en", "zh-TW", "zh-CN"];
/// Characters that only one way of writing Chinese has: one of them in the other language is a slip.
const TRADITIONAL_ONLY: &str = "訂單選擇顯開關閉張陣價錢艙號碼這麼個請們時間間稍後試買賣劃檢錯誤連線資訊變與從幾點將會無還進對應級飛機場機經濟頭";
const SIMPLIFIED_ONLY: &str = "订单选择显开关闭张阵价钱舱号码这么个请们时间稍后试买卖划检错误连线资讯变与从几点将会无还进对应级飞机场经济头";

/// All files of the pages with this ending, by name.
fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in [Path::new(WEB), &Path::new(WEB).join("assets")] {
        for entry in std::fs::read_dir(folder).expect("the pages are there") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if name.ends_with(ending) {
                found.push((name, std::fs::read_to_string(&path).expect("a page's file is text")));
            }
        }
    }
    found.sort();
    found
}

/// All words there are, by language, as a page has them that loads every file of words.
fn dictionaries(browser: &Browser) -> Value {
    let names: Vec<String> =
        files(".js").into_iter().map(|(name, _)| name).filter(|name| name.starts_with("words-")).collect();
    assert!(names.len() > 1, "there should be more files of words than {names:?}");
    let load = "return Promise.all(arguments[0].map((name) => import('/assets/' + name))) \
                .then(() => import('/assets/words.js')) \
                .then(({dictionary}) => Object.fromEntries(arguments[1].map((tag) => [tag, dictionary(tag)])));";
    browser.script(load, &json!([names, LANGUAGES]))
}

fn text_of<'a>(words: &'a Value, language: &str, key: &str) -> &'a str {
    words[language][key].as_str().unwrap_or_default()
}

fn keys(words: &Value, language: &str) -> BTreeSet<String> {
    words[language].as_object().expect("a dictionary").keys().cloned().collect()
}

/// `{name}`s of a text.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

#[test]
fn three_dictionaries_have_the_same_keys_and_leave_no_gap() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let words = dictionaries(&browser);
    // Chinese has one form for one and for many.
    let of_english: BTreeSet<String> =
        keys(&words, "en").into_iter().filter(|key| !key.ends_with(".one")).collect();
    let mut slips = Vec::new();
    for language in LANGUAGES {
        let ours = keys(&words, language).into_iter().filter(|key| !key.ends_with(".one")).collect();
        slips.extend(
            of_english
                .symmetric_difference(&ours)
                .map(|key| format!("{language}: {key} is in one of the two")),
        );
    }
    for language in LANGUAGES {
        for key in keys(&words, language) {
            let text = text_of(&words, language, &key);
            let english = text_of(&words, "en", key.trim_end_matches(".one"));
            // What the API says about a field is English already.
            let may_be_empty = language == "en" && key.starts_with("wrong.");
            if text.trim().is_empty() && !may_be_empty {
                slips.push(format!("{language}: {key} is empty"));
            }
            if !places(text).is_subset(&places(english)) {
                slips.push(format!("{language}: {key} has other gaps to fill: {text:?}, {english:?}"));
            }
        }
    }
    assert!(slips.is_empty(), "{slips:#?}");
}

#[test]
fn traditional_and_simplified_characters_are_not_mixed() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let words = dictionaries(&browser);
    for (language, foreign, own) in
        [("zh-TW", SIMPLIFIED_ONLY, TRADITIONAL_ONLY), ("zh-CN", TRADITIONAL_ONLY, SIMPLIFIED_ONLY)]
    {
        for key in keys(&words, language) {
            let text = text_of(&words, language, &key);
            let slip = text.chars().find(|letter| foreign.contains(*letter) && !own.contains(*letter));
            assert!(slip.is_none(), "{language}: {key} has {slip:?}: {text}");
        }
    }
}

#[test]
fn every_word_a_page_asks_for_is_there() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let words = dictionaries(&browser);
    let known = keys(&words, "en");
    let mut asked = 0;
    let mut missing = Vec::new();
    for (name, text) in files(".js").into_iter().chain(files(".html")) {
        for before in [
            "t(\"",
            "data-word=\"",
            "data-label=\"",
            "data-hint=\"",
            "\"data-word\": \"",
            "\"data-label\": \"",
        ] {
            for (start, _) in text.match_indices(before) {
                // `import("…")`, `get("…")` and the like end with these letters, too.
                let is_word = text[..start]
                    .chars()
                    .next_back()
                    .is_none_or(|letter| !letter.is_alphanumeric() && letter != '.');
                let key = text[start + before.len()..].split('"').next().unwrap_or_default();
                if is_word {
                    asked += 1;
                    if !known.contains(key) {
                        missing.push(format!("{name}: {key}"));
                    }
                }
            }
        }
    }
    assert!(asked > 100, "only {asked} words were found in the pages");
    assert!(missing.is_empty(), "nobody says what these mean: {missing:#?}");
}
