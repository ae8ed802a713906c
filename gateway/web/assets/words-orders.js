// The words of the orders page.
import { addWords } from "./words.js";

addWords({
  en: {
    "ord.title": "My orders", "ord.of": "Orders of", "ord.customer": "Customer", "ord.show": "Show", "ord.token": "Or sign in: paste your token", "ord.sign": "Sign in", "ord.out": "Sign out",
    "ord.new": "New order", "ord.flight": "Flight", "ord.party": "Seats", "ord.grab": "Grab now", "ord.choose": "or choose your seats on the map",
    "ord.search": "Find an order", "ord.find": "Record locator or order number", "ord.open": "Open", "ord.sort": "Sort by", "ord.by.newest": "Newest", "ord.by.departure": "Departure", "ord.by.status": "Status", "ord.status": "Status", "ord.any": "Any",
    "ord.count": "{count} orders", "ord.count.one": "{count} order", "ord.count.more": "The first {count} orders",
    "ord.none": "No orders yet. Grab some seats!", "ord.noMatch": "No order matches these filters.", "ord.pay": "Pay within",
    "ord.one": "Order", "ord.back": "← All orders", "ord.unknown": "You have no order with the locator {locator}.",
    "ord.seats": "Change seats", "ord.all": "You get all the seats you choose, or keep the ones you have.", "ord.held": "The price may change.", "ord.paid": "The order is confirmed, so the price must stay the same.",
    "ord.price": "Together these seats cost something else. A confirmed order keeps its price.", "ord.chosen": "{count} of {of} chosen:", "ord.move": "Move to these seats",
    "ord.names": "Passengers", "ord.sits": "Who flies in {seat}", "ord.saved": "Saved.",
    "ord.retry": "Trying again … Nothing is ever bought twice.", "ord.got": "Yours! Order {locator}.",
  },
  "zh-TW": {
    "ord.title": "我的訂單", "ord.of": "訂購人", "ord.customer": "客戶代號", "ord.show": "查看", "ord.token": "或貼上權杖登入", "ord.sign": "登入", "ord.out": "登出",
    "ord.new": "新增訂單", "ord.flight": "航班", "ord.party": "座位數", "ord.grab": "立即搶票", "ord.choose": "或先看座位圖再選位",
    "ord.search": "查詢訂單", "ord.find": "訂位代號或訂單編號", "ord.open": "開啟", "ord.sort": "排序", "ord.by.newest": "最新訂單", "ord.by.departure": "出發時間", "ord.by.status": "狀態", "ord.status": "狀態", "ord.any": "不限",
    "ord.count": "共 {count} 筆訂單", "ord.count.more": "前 {count} 筆訂單",
    "ord.none": "還沒有訂單，快去搶票吧！", "ord.noMatch": "沒有符合條件的訂單。", "ord.pay": "付款期限剩",
    "ord.one": "訂單", "ord.back": "← 所有訂單", "ord.unknown": "您沒有訂位代號為 {locator} 的訂單。",
    "ord.seats": "更換座位", "ord.all": "所選座位須全數可換才會更換，否則維持原座位。", "ord.held": "票價可能不同。", "ord.paid": "訂單已確認，總價必須相同。",
    "ord.price": "這些座位的總價不同，已確認的訂單不能變更金額。", "ord.chosen": "已選 {count}／{of}：", "ord.move": "換到這些座位",
    "ord.names": "旅客姓名", "ord.sits": "{seat} 的旅客", "ord.saved": "已儲存。",
    "ord.retry": "正在重試…絕不會重複購買。", "ord.got": "搶到了！訂位代號 {locator}。",
  },
  "zh-CN": {
    "ord.title": "我的订单", "ord.of": "下单人", "ord.customer": "客户编号", "ord.show": "查看", "ord.token": "或粘贴令牌登录", "ord.sign": "登录", "ord.out": "退出登录",
    "ord.new": "新建订单", "ord.flight": "航班", "ord.party": "座位数", "ord.grab": "立即抢票", "ord.choose": "或先看座位图再选座",
    "ord.search": "查询订单", "ord.find": "订座编码或订单号", "ord.open": "打开", "ord.sort": "排序", "ord.by.newest": "最新订单", "ord.by.departure": "出发时间", "ord.by.status": "状态", "ord.status": "状态", "ord.any": "不限",
    "ord.count": "共 {count} 笔订单", "ord.count.more": "前 {count} 笔订单",
    "ord.none": "还没有订单，快去抢票吧！", "ord.noMatch": "没有符合条件的订单。", "ord.pay": "付款剩余时间",
    "ord.one": "订单", "ord.back": "← 全部订单", "ord.unknown": "您没有订座编码为 {locator} 的订单。",
    "ord.seats": "更换座位", "ord.all": "所选座位须全部可换才会更换，否则保留原座位。", "ord.held": "票价可能变化。", "ord.paid": "订单已确认，总价必须相同。",
    "ord.price": "这些座位的总价不同，已确认的订单不能变更金额。", "ord.chosen": "已选 {count}/{of}：", "ord.move": "换到这些座位",
    "ord.names": "乘客姓名", "ord.sits": "{seat} 的乘客", "ord.saved": "已保存。",
    "ord.retry": "正在重试…绝不会重复购买。", "ord.got": "抢到了！订座编码 {locator}。",
  },
});
