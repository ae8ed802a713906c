// The words of the departures board.
import { addWords } from "./words.js";

addWords({
  en: {
    "dep.title": "Departures", "dep.filters": "Filters", "dep.origin": "From", "dep.destination": "To", "dep.date": "Day of departure", "dep.sale": "Sale", "dep.any": "Any", "dep.clear": "Clear filters",
    "dep.time": "Time", "dep.flight": "Flight", "dep.price": "Price from", "dep.left": "Seats left", "dep.from": "from {city}", "dep.now": "Time now",
    "dep.few": "Few left", "dep.opens": "opens in", "dep.opening": "opens any moment", "dep.unknown": "opening not announced yet", "dep.closes": "closes in",
    "dep.local": "Times are those of the airport of departure. Seats left change while you look.",
    "dep.none": "No flights here yet. New ones appear by themselves.", "dep.noMatch": "No flight matches these filters.",
    "dep.airport": "There is no airport “{name}” here. Choose one from the list, or type its three letters.",
    "dep.found": "{count} flights", "dep.found.one": "{count} flight", "dep.found.more": "More than {count} flights",
  },
  "zh-TW": {
    "dep.title": "出發航班", "dep.filters": "篩選", "dep.origin": "出發地", "dep.destination": "目的地", "dep.date": "出發日期", "dep.sale": "販售狀態", "dep.any": "不限", "dep.clear": "清除篩選",
    "dep.time": "時間", "dep.flight": "航班", "dep.price": "最低票價", "dep.left": "剩餘座位", "dep.from": "{city}出發", "dep.now": "現在時間",
    "dep.few": "所剩不多", "dep.opens": "距離開賣", "dep.opening": "即將開賣", "dep.unknown": "開賣時間未定", "dep.closes": "距離結束",
    "dep.local": "時間皆為出發機場的當地時間，剩餘座位即時更新。",
    "dep.none": "目前沒有航班，有新航班時會自動出現。", "dep.noMatch": "沒有符合條件的航班。",
    "dep.airport": "找不到「{name}」這個機場，請從清單中選擇，或輸入三碼代號。",
    "dep.found": "共 {count} 個航班", "dep.found.more": "超過 {count} 個航班",
  },
  "zh-CN": {
    "dep.title": "出发航班", "dep.filters": "筛选", "dep.origin": "出发地", "dep.destination": "目的地", "dep.date": "出发日期", "dep.sale": "销售状态", "dep.any": "不限", "dep.clear": "清除筛选",
    "dep.time": "时间", "dep.flight": "航班", "dep.price": "最低票价", "dep.left": "剩余座位", "dep.from": "{city}出发", "dep.now": "当前时间",
    "dep.few": "所剩不多", "dep.opens": "距离开售", "dep.opening": "即将开售", "dep.unknown": "开售时间待定", "dep.closes": "距离结束",
    "dep.local": "时间均为出发机场当地时间，剩余座位实时更新。",
    "dep.none": "目前没有航班，有新航班时会自动出现。", "dep.noMatch": "没有符合条件的航班。",
    "dep.airport": "找不到机场“{name}”，请从列表中选择，或输入三字码。",
    "dep.found": "共 {count} 个航班", "dep.found.more": "超过 {count} 个航班",
  },
});
