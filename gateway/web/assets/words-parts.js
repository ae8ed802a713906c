// Words of the two parts that several pages show: the seat map and the boarding pass.
import { addWords } from "./words.js";

addWords({
  en: {
    "map.title": "Seat map", "map.legend": "What the seats mean", "map.exit": "Exit", "map.row": "Row {row}",
    "map.window": "window", "map.middle": "middle", "map.aisle": "aisle", "map.alone": "window and aisle", "map.chosen": "chosen",
    "map.name": "{seat}, {place}, {status}",
  },
  "zh-TW": {
    "map.title": "座位圖", "map.legend": "座位圖例", "map.exit": "出口", "map.row": "第 {row} 排",
    "map.window": "靠窗", "map.middle": "中間", "map.aisle": "靠走道", "map.alone": "靠窗也靠走道", "map.chosen": "已選",
    "map.name": "{seat}，{place}，{status}",
  },
  "zh-CN": {
    "map.title": "座位图", "map.legend": "座位图例", "map.exit": "出口", "map.row": "第 {row} 排",
    "map.window": "靠窗", "map.middle": "中间", "map.aisle": "靠过道", "map.alone": "靠窗也靠过道", "map.chosen": "已选",
    "map.name": "{seat}，{place}，{status}",
  },
});
