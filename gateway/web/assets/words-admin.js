// The words of the admin's page.
import { addWords } from "./words.js";

// key|English|繁體|简体; what is left out is as before.
const TABLE = `
sign.title|Sign in as admin|管理員登入|管理员登录
sign.hint|The first start wrote a token into admin.token in the data folder; “farerush token create” makes more.|首次啟動時，權杖寫在資料目錄的 admin.token；也可以用「farerush token create」新增。|首次启动时，令牌写在数据目录的 admin.token 里；也可以用“farerush token create”新建。
sign.in|Sign in|登入|登录
sign.out|Sign out|登出|退出登录
problem.TOKEN|This token is not valid: it is wrong, has expired or was revoked.|這個權杖無效：可能輸入錯誤、已過期或已撤銷。|这个令牌无效：可能输入有误、已过期或已撤销。
problem.FORBIDDEN|Your token’s role does not allow this: viewers look, operators run sales, only admins create flights.|您的權杖角色無權執行：檢視者只能查看，操作員可管理銷售，只有管理員能建立航班。|您的令牌角色无权执行：查看者只能查看，操作员可管理销售，只有管理员能创建航班。
problem.UNAUTHORIZED|Your token is no longer valid. Please sign in again.|權杖已失效，請重新登入。|令牌已失效，请重新登录。
problem.INVALID_REQUEST|Nothing was done. Please correct what is marked.|尚未執行，請修正標示的欄位。|尚未执行，请修改标出的字段。
problem.FLIGHT_EXISTS|There is a flight with this ID already. Choose another ID.|已有相同編號的航班，請換一個編號。|已有相同编号的航班，请换一个编号。
problem.SEAT_TAKEN|Somebody has one of these seats. Withdraw them instead: their passengers get other seats.|其中有座位已有旅客。請改用「收回」，旅客會換到其他座位。|其中有座位已有旅客。请改用“收回”，旅客会换到其他座位。
problem.ORDERS_WITHOUT_SEATS|Nothing was changed: some orders would lose their seats.|沒有更動：部分訂單會失去座位。|没有更改：部分订单会失去座位。
problem.OVERLOADED|The server is busy. Nothing was done.|伺服器忙碌中，尚未執行。|服务器繁忙，尚未执行。
problem.ELSEWHERE|Another server has the flight. Nothing was done.|航班由另一台伺服器提供，尚未執行。|航班由另一台服务器提供，尚未执行。
retry|Trying again ({tries}) …|正在重試（第 {tries} 次）…|正在重试（第 {tries} 次）…
done|{what}: done.|{what}：完成。
do|Go ahead|確定執行|确定执行
yes|yes|是
no|no|否
none|Nothing here.|沒有資料。|没有数据。
all|All|全部
w.id|Flight ID (optional)|航班 ID（選填）|航班 ID（选填）
search|Search|搜尋|搜索
csv|Save as CSV|下載 CSV|下载 CSV
times|Times are yours ({zone}).|時間為您的時區（{zone}）。|时间为您的时区（{zone}）。
tab.flights|Flights|航班
tab.cockpit|Cockpit|即時監控|实时监控
tab.servers|Servers|伺服器|服务器
tab.new|New flight|新增航班|新建航班
tab.import|Import|匯入|导入
tab.orders|Orders|訂單|订单
do.open|Open|開賣|开售
do.pause|Pause|暫停|暂停
do.close|Close the sale|結束販售|结束销售
close.all|Also cancel every order and list the refunds: the flight is called off|同時取消所有訂單並列出退款（航班取消）|同时取消所有订单并列出退款（航班取消）
close.done|The sale is closed. Orders cancelled: {count}.|販售已結束，取消了 {count} 筆訂單。|销售已结束，取消了 {count} 笔订单。
stopped|{flight_id} has stopped: {reason}.|{flight_id} 已停止：{reason}。
restart|Restart|重新啟動|重新启动
restart.says|The flight is dropped from memory and recovered from journal and store. Customers wait for a moment; nothing is lost.|航班會從記憶體卸下，再由日誌與資料庫復原。旅客只需稍候，不會遺失任何資料。|航班会从内存卸下，再由日志与数据库恢复。旅客只需稍候，不会丢失任何数据。
restart.done|Recovered in {took_ms} ms: seq {seq}, epoch {epoch}.|{took_ms} 毫秒內復原：seq {seq}、epoch {epoch}。|{took_ms} 毫秒内恢复：seq {seq}、epoch {epoch}。
flight.seqs|seq {seq}, durable {durable_seq}, stored {stored_seq} · epoch {epoch} · queue {queue}|seq {seq}、已寫入 {durable_seq}、已入庫 {stored_seq} · epoch {epoch} · 佇列 {queue}|seq {seq}、已落盘 {durable_seq}、已入库 {stored_seq} · epoch {epoch} · 队列 {queue}
flight.page|As customers see it|旅客看到的頁面|旅客看到的页面
do.drain|Drain|清空
do.resume|Resume|恢復|恢复
do.move|Move a flight|移動航班|移动航班
servers.says|Flights move between servers by themselves when one comes or goes. Nobody notices; a server that is drained gives its flights away and takes none.|伺服器加入或離開時，航班會自動移動，旅客不會察覺；清空中的伺服器會交出所有航班，也不再接收。|服务器加入或离开时，航班会自动移动，旅客不会察觉；清空中的服务器会交出所有航班，也不再接收。
servers.alone|This server shares its flights with nobody.|這台伺服器沒有與其他伺服器共用航班。|这台服务器没有与其他服务器共用航班。
servers.anywhere|Anywhere|不指定
servers.moved|{flight_id} is to be at: {server}.|{flight_id} 的位置：{server}。
servers.drain|{server} gives its flights away.|{server} 正在交出航班。
servers.resume|{server} takes flights again.|{server} 恢復接收航班。|{server} 恢复接收航班。
servers.unserved|Flights that no server has: {count}.|沒有伺服器的航班：{count}。|没有服务器的航班：{count}。
servers.flights|Flights of each server|各伺服器的航班|各服务器的航班
servers.moves|Flights that moved since you opened this page|開啟此頁後移動的航班|打开此页后移动的航班
servers.actions|What admins have asked for|管理員的操作|管理员的操作
server.takes|takes flights|接收航班
server.drains|gives flights away|交出航班
server.silent|does not answer|沒有回應|没有响应
server.this|this one|本機|本机
did.drain|Drained|清空
did.resume|Resumed|恢復|恢复
did.move|Moved|移動|移动
w.server|Server|伺服器|服务器
w.lease|Lease left|租約剩餘|租约剩余
w.flights|Flights|航班
w.load|Under way|處理中|处理中
w.version|Version|版本
w.flight|Flight|航班
w.from_server|From server|來源伺服器|来源服务器
w.to_server|To server|目標伺服器|目标服务器
view.map|Seats|座位
view.rules|Sale rules|販售規則|销售规则
view.aircraft|Aircraft|機型|机型
view.rehearse|Rehearse|演練|演练
view.manifest|Manifest|乘客名單|乘客名单
view.waitlist|Waitlist|候補|候补
view.refunds|Refunds|退款
view.audit|Audit|稽核紀錄|审计记录
w.token|Token|權杖|令牌
w.flight_id|Flight|航班
w.flight_number|Flight number|航班號碼|航班号
w.origin|From|出發地|出发地
w.destination|To|目的地
w.departs_at|Departure|起飛時間|起飞时间
w.origin_time_zone|Time zone of the origin|出發地時區|出发地时区
w.route|Route|航線|航线
w.sale|Sale|販售|销售
w.available|Free seats|剩餘座位|剩余座位
w.seqs|Seq / durable / stored|Seq／寫入／入庫|Seq／落盘／入库
w.deeds|Actions|操作
w.aircraft|Aircraft|機型|机型
w.currency|Currency|幣別|币种
w.fare|Fare|票價|票价
w.cabin_class|Cabin|艙等|舱位
w.first_row|First row|起始排
w.last_row|Last row|最後一排|最后一排
w.layout|Layout|座位配置|座位布局
w.opens_at|Opens|開賣時間|开售时间
w.closes_at|Closes|結束時間|结束时间
w.max_seats_per_order|Seats per order|每筆訂單上限|每笔订单上限
w.max_seats_per_customer|Seats per customer|每位旅客上限
w.hold_seconds|Hold (seconds; 0: sold at once)|保留秒數（0：立即售出）|保留秒数（0：立即售出）
w.payment_grace_seconds|More time to pay (seconds)|付款寬限秒數|付款宽限秒数
w.closes_before_minutes|Sale ends before departure (minutes)|起飛前幾分鐘停售|起飞前几分钟停售
w.status|State|狀態|状态
w.customer_id|Customer|旅客
w.record_locator|Locator|訂位代號|订座编码
w.created_from|Placed from|下單起始|下单起始
w.created_to|Placed before|下單截止|下单截止
w.created|Placed|下單時間|下单时间
w.total|Total|總額|总额
w.seats|Seats|座位
w.seat|Seat|座位
w.passenger|Passenger|乘客
w.place|Place|順位|顺位
w.party|Party|人數|人数
w.accept|Accepts|接受條件|接受条件
w.amount|Amount|金額|金额
w.payment|Payment|付款編號|付款编号
w.reason|Reason|原因
w.ended|Ended|結束時間|结束时间
w.seq|Seq
w.when|When|時間|时间
w.who|Who|操作者
w.what|What|內容|内容
w.order|Order|訂單|订单
w.from|From|原座位
w.to|To|新座位
w.together|Together|相鄰|相邻
w.line|Line|行
w.field|Field|欄位|字段
w.message|What is wrong|問題|问题
w.customers|Customers|模擬旅客數|模拟旅客数
w.over_seconds|Over (seconds)|持續秒數|持续秒数
w.start_from|Start with|起始狀態|起始状态
wrong.range|From {from} to {to}.|請填 {from} 到 {to}。|请填 {from} 到 {to}。
wrong.must be an RFC 3339||請填寫時間，例如 2026-12-24T08:30:00Z。|请填写时间，例如 2026-12-24T08:30:00Z。
wrong.must be the three letters||請填三個字母的 IATA 機場代碼，例如 TPE。|请填三个字母的 IATA 机场代码，例如 TPE。
wrong.must be an airline's code||請填航空公司代碼加數字，例如 FR101。|请填航空公司代码加数字，例如 FR101。
wrong.must be [first, last] with||起始排不得大於最後一排，須在 1 到 999 之間。|起始排不能大于最后一排，须在 1 到 999 之间。
wrong.must be upper-case letters without||請用大寫字母（不含 I），走道以一個空格表示，例如 ABC DEF。|请用大写字母（不含 I），过道用一个空格表示，例如 ABC DEF。
wrong.must be the three upper-case||請填三個大寫字母的 ISO 4217 幣別代碼。|请填三个大写字母的 ISO 4217 币种代码。
wrong.must be given|Please fill this in.|請填寫。|请填写。
wrong.must be given: no time|The time zone of this airport is not known: give it, such as Asia/Taipei.|不知道此機場的時區，請填寫，例如 Asia/Taipei。|不知道此机场的时区，请填写，例如 Asia/Taipei。
wrong.must be the IANA name||請填 IANA 時區名稱，例如 Asia/Taipei。|请填 IANA 时区名称，例如 Asia/Taipei。
wrong.must be in the future:|The flight must not have left yet.|班機尚未起飛才能建立。|航班必须尚未起飞。
wrong.must not be the origin|Must differ from the origin.|不能與出發地相同。|不能与出发地相同。
own.cabins|Own cabins|自訂艙等|自定义舱位
cabin.add|Add a cabin|增加艙等|增加舱位
cabin.remove|Remove the last cabin|移除最後一個艙等|移除最后一个舱位
cabin.any|any|不限
create|Create the flight|建立航班|创建航班
import.says|CSV or JSON lines, one flight a line. All or nothing: one bad line, and no flight is created.|CSV 或 JSON Lines，每行一個航班。全有或全無：只要有一行錯誤，就不會建立任何航班。|CSV 或 JSON Lines，每行一个航班。要么全部成功，要么全不导入：只要有一行错误，就不会创建任何航班。
import.choose|Choose a file, or drop it here|選擇檔案，或拖放到這裡|选择文件，或拖放到这里
import.nothing|No file chosen yet.|尚未選擇檔案。|尚未选择文件。
import.skip|Skip flights that are there already|略過已存在的航班|跳过已存在的航班
import.check|Check only|僅檢查|仅检查
import.go|Import|匯入|导入
import.good|The file is good. Flights to create: {count}, skipped: {skipped}. Nothing was created yet.|檔案沒有問題：將建立 {count} 個航班，略過 {skipped} 個。目前尚未建立。|文件没有问题：将创建 {count} 个航班，跳过 {skipped} 个。目前尚未创建。
import.done|Flights created: {count}, skipped: {skipped}.|已建立 {count} 個航班，略過 {skipped} 個。|已创建 {count} 个航班，跳过 {skipped} 个。
import.bad|No flight was created. Mistakes in the file: {count}.|沒有建立任何航班：檔案有 {count} 個錯誤。|没有创建任何航班：文件有 {count} 个错误。
import.bad.lines|Bad lines|有誤的行|有误的行
import.further|… and {count} more.|⋯還有 {count} 個。|⋯还有 {count} 个。
map.says|Choose seats (with Shift: all up to there).|點選座位（按住 Shift 可選取一片）。|点选座位（按住 Shift 可选取一片）。
chosen.none|No seat chosen.|尚未選擇座位。|尚未选择座位。
seats.block|Block|鎖定|锁定
seats.unblock|Unblock|解除鎖定|解除锁定
seats.withdraw|Withdraw|收回
rows.choose|Choose rows|選取整排|选取整排
rows.add|Add rows|增加座位排
plan.title|What this would change|變更的影響|更改的影响
plan.says|Orders that keep their seats: {kept}, that move: {moved}, without a seat: {stranded}.|座位不變的訂單：{kept}，換座位：{moved}，沒有座位：{stranded}。|座位不变的订单：{kept}，换座位：{moved}，没有座位：{stranded}。
plan.moved|Orders that move|換座位的訂單|换座位的订单
plan.stranded|Orders without a seat|沒有座位的訂單|没有座位的订单
plan.cancel|Cancel the orders without a seat|取消沒有座位的訂單|取消没有座位的订单
rules.says|What was sold or held before keeps to the rules of its time.|先前售出或保留的座位，仍依當時的規則。|先前售出或保留的座位，仍按当时的规则。
aircraft.says|Nobody pays more; a fare left empty stays as it is. You see who would move before anything happens.|旅客票價不變，未填的票價維持原樣。執行前會先列出誰要換座位。|旅客票价不变，未填的票价保持原样。执行前会先列出谁要换座位。
aircraft.try|Try it|試算|试算
refunds.says|Nothing is paid from here.|這裡不會實際退款。|这里不会实际退款。
actor.admin|Admin|管理員|管理员
actor.customer|Customer|旅客
actor.flight|Flight|航班
accept.all|all|全部
accept.all_together|all, side by side|全部相鄰|全部相邻
waitlist.waiting|waiting|候補中|候补中
waitlist.served|served|已候補上|已候补上
waitlist.left|left|已放棄|已放弃
waitlist.expired|expired|已逾期|已过期
refund.cancelled|cancelled|已取消
refund.seats_lost|seats lost|失去座位
refund.paid_too_late|paid too late|逾期付款
refund.paid_already|paid twice|重複付款|重复付款
refund.paid_cancelled|paid after cancelling|取消後付款|取消后付款
event.flight_created|Flight created|建立航班|创建航班
event.sale_switched|Sale switched|切換販售狀態|切换销售状态
event.policy_changed|Rules changed|變更規則|更改规则
event.seats_blocked|Seats blocked|鎖定座位|锁定座位
event.seats_unblocked|Seats unblocked|解除鎖定|解除锁定
event.rows_added|Rows added|增加座位排
event.cabins_changed|Seat plan changed|變更座位配置|更改座位布局
event.order_placed|Order placed|下單|下单
event.order_confirmed|Order confirmed|訂單確認|订单确认
event.order_revived|Order revived|訂單恢復|订单恢复
event.order_cancelled|Order cancelled|訂單取消|订单取消
event.order_expired|Hold expired|保留逾期|保留过期
event.order_changed|Order changed|訂單變更|订单更改
event.payment_begun|Payment begun|開始付款|开始付款
event.waitlist_joined|Joined the waitlist|加入候補|加入候补
event.waitlist_left|Left the waitlist|離開候補|离开候补
event.closed_for_good|Flight called off|航班取消|航班取消
event.payment_returned|Payment to be returned|款項待退|款项待退
event.nothing_changed|Nothing changed|沒有變更|没有变更
event.forgotten|Old entries forgotten|清除舊紀錄|清除旧记录
event.taken_over|Taken over by a server|由伺服器接手|由服务器接手
event.sale_ended|Sale over|販售結束|销售结束
event.waitlist_served|Served from the waitlist|候補成功|候补成功
minutes|Minutes shown|顯示分鐘數|显示分钟数
chart.says|Point at a chart, or move along it with the arrow keys, to read a moment.|把游標移到圖上，或用方向鍵移動，即可讀取該時刻的數值。|把光标移到图上，或用方向键移动，即可读取该时刻的数值。
chart.empty|No figures yet|尚無資料|暂无数据
chart.most|max. {value}|最高 {value}
chart.grabs|Grabs a second|每秒搶票|每秒抢票
chart.refusals|Refusals a second, by reason|每秒拒絕（依原因）|每秒拒绝（按原因）
chart.latency|Time to answer|回應時間|响应时间
chart.batch|Events per round|每輪事件數|每轮事件数
chart.append|Time to append|寫入日誌時間|写入日志时间
chart.backlog|Waiting|等待中
chart.readers|Connected|連線數|连接数
chart.cpu|CPU
chart.memory|Memory|記憶體|内存
line.won|Won|搶到|抢到
line.refused|Refused|被拒絕|被拒绝
line.sent|Sent|送出|发出
line.max|slowest|最慢
line.batch|events|事件
line.backlog_events|Events not stored|未入庫事件|未入库事件
line.queued|Commands queued|排隊指令|排队指令
line.live_readers|Live readers|即時讀者|实时读者
line.connections|Connections|連線|连接
line.cpu_percent|CPU
line.memory_bytes|Memory|記憶體|内存
tile.p99|Answer (p99)|回應（p99）|响应（p99）
tile.journal|Journal|日誌|日志
tile.store|Store|資料庫|数据库
state.writing|writing|寫入中|写入中
state.stalled|stalled|停滯|停滞
state.stopped|stopped|已停止
state.up|up|正常
state.down|down|離線|离线
refusal.SOLD_OUT|Sold out|已售完|已售罄
refusal.NOT_ENOUGH_SEATS|Too few seats|座位不足
refusal.SEAT_TAKEN|Seat taken|座位已被訂|座位已被订
refusal.NOT_TOGETHER|Not together|無法相鄰|无法相邻
refusal.SALE_NOT_OPEN|Not open|尚未開賣|尚未开售
refusal.SALE_PAUSED|Paused|暫停販售|暂停销售
refusal.SALE_CLOSED|Closed|已結束|已结束
refusal.LIMIT_EXCEEDED|Over the limit|超過上限|超过上限
refusal.OVERLOADED|Overloaded|系統忙碌|系统繁忙
refusal.ELSEWHERE|On another server|在另一台伺服器|在另一台服务器
refusal.QUOTA_EXCEEDED|Share used up|額度用盡|额度用尽
refusal.RATE_LIMITED|Too often|過於頻繁|过于频繁
start.now|Seats as they are now|目前的座位狀態|目前的座位状态
start.empty|All seats free|全部空位
rehearse.says|The rush runs on a shadow copy: the real flight is never touched.|搶票在影子副本上進行，絕不會碰到真正的航班。|抢票在影子副本上进行，绝不会碰到真正的航班。
rehearse.start|Start the rush|開始搶票演練|开始抢票演练
rehearse.stop|Stop|停止
rehearse.map|The shadow’s seats|影子副本的座位
run.running|Running|進行中|进行中
run.done|Done|已完成
run.stopped|Stopped|已停止
run.failed|Failed|失敗|失败
run.seats|Seats sold|售出座位
run.sold_out|Sold out after|售完時間|售罄时间
report.title|Report of the rehearsal of {flight_number}|{flight_number} 演練報告|{flight_number} 演练报告
report.print|Print|列印|打印
report.sold_out|{customers} customers: sold out after {time}, {seats} seats.|{customers} 位旅客：{time} 售完，共 {seats} 個座位。|{customers} 位旅客：{time} 售罄，共 {seats} 个座位。
report.left|{customers} customers in {time}: {seats} seats sold, {available} left.|{customers} 位旅客、{time}：售出 {seats} 個座位，剩 {available} 個。|{customers} 位旅客、{time}：售出 {seats} 个座位，剩 {available} 个。
report.timeline|Over time|時間軸|时间轴
report.checks|Checks|檢查|检查
check.no seat sold twice|No seat was sold twice|沒有座位重複售出|没有座位重复售出
check.every customer answered|Every customer was answered|每位旅客都收到答覆|每位旅客都收到答复
check.sold out where demand sufficed|Sold out where there was the demand|需求足夠時全數售完|需求足够时全部售完
check.every order readable|Every order can be read|每筆訂單都可查到|每笔订单都可查到
check.the journal replays to the same seats|The journal replays to the same seats|重播日誌得到相同座位|重放日志得到相同座位
problem.BUSY|Another rehearsal is running: one at a time.|另一場演練正在進行，一次只能進行一場。|另一场演练正在进行，一次只能进行一场。`;

const words = { en: {}, "zh-TW": {}, "zh-CN": {} };
for (const line of TABLE.trim().split("\n")) {
  const [key, en, tw = en, cn = tw] = line.split("|");
  [words.en[key], words["zh-TW"][key], words["zh-CN"][key]] = [en, tw, cn];
}
addWords(words);
