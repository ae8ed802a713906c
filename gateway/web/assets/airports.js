// Names and time zones of airports (IATA codes). One that is not here is shown by its code, its times in UTC.

import { language } from "./words.js";

// code: English | 繁體 | 简体 (where it differs) | time zone (IANA, the continent before)
const TABLE = `
TPE|Taipei|臺北桃園|台北桃园|Asia/Taipei
TSA|Taipei Songshan|臺北松山|台北松山|Asia/Taipei
KHH|Kaohsiung|高雄||Asia/Taipei
RMQ|Taichung|臺中|台中|Asia/Taipei
HKG|Hong Kong|香港||Asia/Hong_Kong
MFM|Macau|澳門|澳门|Asia/Macau
NRT|Tokyo Narita|東京成田|东京成田|Asia/Tokyo
HND|Tokyo Haneda|東京羽田|东京羽田|Asia/Tokyo
KIX|Osaka|大阪關西|大阪关西|Asia/Tokyo
NGO|Nagoya|名古屋||Asia/Tokyo
FUK|Fukuoka|福岡|福冈|Asia/Tokyo
CTS|Sapporo|札幌||Asia/Tokyo
OKA|Okinawa|沖繩|冲绳|Asia/Tokyo
ICN|Seoul Incheon|首爾仁川|首尔仁川|Asia/Seoul
GMP|Seoul Gimpo|首爾金浦|首尔金浦|Asia/Seoul
PUS|Busan|釜山||Asia/Seoul
PEK|Beijing|北京首都||Asia/Shanghai
PKX|Beijing Daxing|北京大興|北京大兴|Asia/Shanghai
PVG|Shanghai Pudong|上海浦東|上海浦东|Asia/Shanghai
SHA|Shanghai Hongqiao|上海虹橋|上海虹桥|Asia/Shanghai
CAN|Guangzhou|廣州|广州|Asia/Shanghai
SZX|Shenzhen|深圳||Asia/Shanghai
CTU|Chengdu|成都||Asia/Shanghai
XMN|Xiamen|廈門|厦门|Asia/Shanghai
SIN|Singapore|新加坡||Asia/Singapore
BKK|Bangkok|曼谷||Asia/Bangkok
DMK|Bangkok Don Mueang|曼谷廊曼||Asia/Bangkok
KUL|Kuala Lumpur|吉隆坡||Asia/Kuala_Lumpur
MNL|Manila|馬尼拉|马尼拉|Asia/Manila
SGN|Ho Chi Minh City|胡志明市||Asia/Ho_Chi_Minh
HAN|Hanoi|河內|河内|Asia/Bangkok
DAD|Da Nang|峴港|岘港|Asia/Ho_Chi_Minh
CGK|Jakarta|雅加達|雅加达|Asia/Jakarta
DPS|Bali|峇里島|巴厘岛|Asia/Makassar
DEL|Delhi|德里||Asia/Kolkata
DXB|Dubai|杜拜|迪拜|Asia/Dubai
DOH|Doha|杜哈|多哈|Asia/Qatar
IST|Istanbul|伊斯坦堡|伊斯坦布尔|Europe/Istanbul
SYD|Sydney|雪梨|悉尼|Australia/Sydney
MEL|Melbourne|墨爾本|墨尔本|Australia/Melbourne
AKL|Auckland|奧克蘭|奥克兰|Pacific/Auckland
LHR|London Heathrow|倫敦希斯洛|伦敦希思罗|Europe/London
CDG|Paris|巴黎||Europe/Paris
AMS|Amsterdam|阿姆斯特丹||Europe/Amsterdam
FRA|Frankfurt|法蘭克福|法兰克福|Europe/Berlin
MUC|Munich|慕尼黑||Europe/Berlin
ZRH|Zurich|蘇黎世|苏黎世|Europe/Zurich
VIE|Vienna|維也納|维也纳|Europe/Vienna
FCO|Rome|羅馬|罗马|Europe/Rome
MAD|Madrid|馬德里|马德里|Europe/Madrid
JFK|New York JFK|紐約甘迺迪|纽约肯尼迪|America/New_York
LAX|Los Angeles|洛杉磯|洛杉矶|America/Los_Angeles
SFO|San Francisco|舊金山|旧金山|America/Los_Angeles
SEA|Seattle|西雅圖|西雅图|America/Los_Angeles
ORD|Chicago|芝加哥||America/Chicago
YVR|Vancouver|溫哥華|温哥华|America/Vancouver
YYZ|Toronto|多倫多|多伦多|America/Toronto
HNL|Honolulu|檀香山||Pacific/Honolulu`;

const airports = new Map(TABLE.trim().split("\n").map((line) => {
  const [code, en, tw, cn, zone] = line.split("|");
  return [code, { en, "zh-TW": tw, "zh-CN": cn || tw, zone }];
}));

/** The name of an airport's city, or its code. */
export const city = (code) => airports.get(code)?.[language] ?? code;

/** An airport's time zone, if known. */
export const zone = (code) => airports.get(code)?.zone;

/** All codes that have a name, for suggestions. */
export const codes = [...airports.keys()];
