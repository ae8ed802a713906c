// Names of airports (IATA codes). One that is not here is shown by its code.

import { language } from "./words.js";

// code: English | 繁體 | 简体 (where it differs)
const TABLE = `
TPE|Taipei|臺北桃園|台北桃园
TSA|Taipei Songshan|臺北松山|台北松山
KHH|Kaohsiung|高雄|
RMQ|Taichung|臺中|台中
HKG|Hong Kong|香港|
MFM|Macau|澳門|澳门
NRT|Tokyo Narita|東京成田|东京成田
HND|Tokyo Haneda|東京羽田|东京羽田
KIX|Osaka|大阪關西|大阪关西
NGO|Nagoya|名古屋|
FUK|Fukuoka|福岡|福冈
CTS|Sapporo|札幌|
OKA|Okinawa|沖繩|冲绳
ICN|Seoul Incheon|首爾仁川|首尔仁川
GMP|Seoul Gimpo|首爾金浦|首尔金浦
PUS|Busan|釜山|
PEK|Beijing|北京首都|
PKX|Beijing Daxing|北京大興|北京大兴
PVG|Shanghai Pudong|上海浦東|上海浦东
SHA|Shanghai Hongqiao|上海虹橋|上海虹桥
CAN|Guangzhou|廣州|广州
SZX|Shenzhen|深圳|
CTU|Chengdu|成都|
XMN|Xiamen|廈門|厦门
SIN|Singapore|新加坡|
BKK|Bangkok|曼谷|
DMK|Bangkok Don Mueang|曼谷廊曼|
KUL|Kuala Lumpur|吉隆坡|
MNL|Manila|馬尼拉|马尼拉
SGN|Ho Chi Minh City|胡志明市|
HAN|Hanoi|河內|河内
DAD|Da Nang|峴港|岘港
CGK|Jakarta|雅加達|雅加达
DPS|Bali|峇里島|巴厘岛
DEL|Delhi|德里|
DXB|Dubai|杜拜|迪拜
DOH|Doha|杜哈|多哈
IST|Istanbul|伊斯坦堡|伊斯坦布尔
SYD|Sydney|雪梨|悉尼
MEL|Melbourne|墨爾本|墨尔本
AKL|Auckland|奧克蘭|奥克兰
LHR|London Heathrow|倫敦希斯洛|伦敦希思罗
CDG|Paris|巴黎|
AMS|Amsterdam|阿姆斯特丹|
FRA|Frankfurt|法蘭克福|法兰克福
MUC|Munich|慕尼黑|
ZRH|Zurich|蘇黎世|苏黎世
VIE|Vienna|維也納|维也纳
FCO|Rome|羅馬|罗马
MAD|Madrid|馬德里|马德里
JFK|New York JFK|紐約甘迺迪|纽约肯尼迪
LAX|Los Angeles|洛杉磯|洛杉矶
SFO|San Francisco|舊金山|旧金山
SEA|Seattle|西雅圖|西雅图
ORD|Chicago|芝加哥|
YVR|Vancouver|溫哥華|温哥华
YYZ|Toronto|多倫多|多伦多
HNL|Honolulu|檀香山|`;

const airports = new Map(TABLE.trim().split("\n").map((line) => {
  const [code, en, tw, cn] = line.split("|");
  return [code, { en, "zh-TW": tw, "zh-CN": cn || tw }];
}));

/** The name of an airport's city, or its code. */
export const city = (code) => airports.get(code)?.[language] ?? code;

/** All codes that have a name, for suggestions. */
export const codes = [...airports.keys()];
